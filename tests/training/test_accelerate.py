"""The configurations for several GPUs are ones that accelerate reads."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("accelerate")

from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType

CONFIGURATIONS = Path(__file__).parents[2] / "recipes" / "accelerate"
KINDS = {
    "ddp": DistributedType.MULTI_GPU,
    "fsdp": DistributedType.FSDP,
    "zero2": DistributedType.DEEPSPEED,
    "zero3": DistributedType.DEEPSPEED,
}


def test_there_is_a_case_for_each() -> None:
    assert {file.stem for file in CONFIGURATIONS.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_accelerate_reads_it(name: str) -> None:
    file = CONFIGURATIONS / f"{name}.yaml"
    read = load_config_from_file(str(file))
    assert read.distributed_type == KINDS[name]
    assert read.mixed_precision == "bf16"
    assert read.num_processes == 8


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_launch_takes_its_settings(name: str) -> None:
    """What `accelerate launch --config_file` makes of it, up to where the processes would start."""
    words = ["--config_file", str(CONFIGURATIONS / f"{name}.yaml"), "-m", "text4seg"]
    parsed = launch_command_parser().parse_args(words)
    arguments, _, _ = _validate_launch_command(parsed)
    if name == "fsdp":
        assert arguments.use_fsdp
        assert int(arguments.fsdp_version) == 2
    elif name == "ddp":
        assert arguments.multi_gpu
    else:
        assert arguments.use_deepspeed
        assert int(arguments.zero_stage) == int(name[-1])
