"""Two processes on a CPU learn as one does: DDP, FSDP2, ZeRO-2 and ZeRO-3, and after a kill, too.

The configurations are those of `recipes/accelerate`, for two processes and in float32.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl")

import psutil
from safetensors.torch import load_file

from tests.reference.small_families import RECIPES, Size, build
from tests.reference.small_nano import small_tokenizer
from text4seg import Segmenter
from text4seg.core.errors import InputError
from text4seg.training.checkpoints import FOLDER, MARK, last_finished
from text4seg.training.distributed import check_sharding, sharding
from text4seg.training.estimate import estimate
from text4seg.training.finetune import train
from text4seg.training.recipe import load_recipe
from text4seg.training.tuner import TrainResult

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "photos"
CONFIGURATIONS = ROOT / "recipes" / "accelerate"
# Eight samples: two processes fill up a last, smaller batch with samples they have had before.
RECIPE = """
model.folder = "{base}"
data = {{ train = "{images}/examples.jsonl", images = "{images}", grid = "4x4", limit = 8 }}
lora = {{ rank = 256, alpha = 256, dropout = 0 }}
report.every = 1

[training]
steps = 6
batch = 4
device_batch = 2
learning_rate = 1e-3
precision = "float32"
save_every = 2
"""
KINDS = [
    "ddp",
    "fsdp",
    *(
        pytest.param(name, marks=pytest.mark.skipif(
            find_spec("deepspeed") is None, reason="deepspeed is not installed"))
        for name in ("zero2", "zero3")
    ),
]  # fmt: skip
# What only this kind of training leaves in a checkpoint, and only with two processes.
TRACES = {
    "ddp": ("rng_state_1.pth",),
    "fsdp": ("rng_state_1.pth", "pytorch_model_fsdp.bin"),
    "zero2": ("global_step6/zero_pp_rank_1_mp_rank_00_optim_states.pt",),
    "zero3": ("global_step6/zero_pp_rank_1_mp_rank_00_model_states.pt",),
}
WATCHED = dict.fromkeys(("ddp", "zero2"), ("report.validate_every=1", "report.questions=3"))
FULL = ("lora.rank=0", "training.learning_rate=1e-4")
WEIGHTED = ("loss.digits=2",)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Wide enough: ZeRO-3 leaves tensors of under 100,000 numbers whole in every process.
    size = Size(hidden=512)
    return build("smolvlm", tmp_path_factory.mktemp("base"), small_tokenizer(), size=size)


@pytest.fixture
def file(base: Path, tmp_path: Path) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE.format(base=base, images=IMAGES))
    return file


def start(kind: str, file: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    """`accelerate launch` of two processes."""
    settings = (CONFIGURATIONS / f"{kind}.yaml").read_text()
    for there, here in {
        "num_processes: 8": "num_processes: 2",
        "mixed_precision: bf16": "mixed_precision: 'no'",
    }.items():
        settings = settings.replace(there, here)
    configuration = output.with_suffix(".yaml")
    configuration.write_text(settings)
    module = "tests.reference.fsdp_on_cpu" if kind == "fsdp" else "text4seg"
    changes = [word for change in (f"output={output}", *more) for word in ("--set", change)]
    return subprocess.Popen(
        [sys.executable, "-m", "accelerate.commands.launch", "--config_file", configuration,
         "--main_process_port", "29517", "-m", module, "train", file, *changes, "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the leading process says in the end, and it alone."""
    out, _ = process.communicate(timeout=500)
    assert process.returncode == 0
    told = [line for line in out.splitlines() if line.startswith('{"folder"')]
    assert len(told) == 1
    found: dict[str, Any] = json.loads(told[0])
    return found


def losses(output: Path) -> list[float]:
    state = json.loads((output / FOLDER / "checkpoint-6" / "trainer_state.json").read_text())
    return [line["loss"] for line in state["log_history"] if "loss" in line]


def assert_same(output: Path, single: TrainResult) -> None:
    """The same curve, and the same weights in the folders that come out."""
    for trace in TRACES[output.name]:
        assert (output / FOLDER / "checkpoint-6" / trace).is_file()
    assert len(losses(output)) == 6
    assert losses(output) == pytest.approx(losses(single.folder), rel=1e-4)
    names = ["merged/model.safetensors"]
    if (single.folder / "adapter").is_dir():
        names.append("adapter/adapter_model.safetensors")
    for name in names:
        mine, theirs = load_file(output / name), load_file(single.folder / name)
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            torch.testing.assert_close(mine[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_as_one_through_a_kill(kind: str, file: Path, tmp_path: Path) -> None:
    single = train(load_recipe(file, (f"output={tmp_path / 'one'}",)))
    output = tmp_path / kind
    asked = (f"data.validation={IMAGES / 'examples.jsonl'}", *WATCHED.get(kind, ()))
    killed = start(kind, file, output, *asked)
    mark = output / FOLDER / "checkpoint-2" / MARK
    while not mark.is_file():
        assert killed.poll() is None
        time.sleep(0.05)
    launcher = psutil.Process(killed.pid)  # its processes are no group: each leads a session
    for process in (launcher, *launcher.children(recursive=True)):
        process.kill()
    killed.communicate()
    kept = last_finished(output)
    assert kept is not None
    assert kept.name != "checkpoint-6"  # there is something left to do
    told = finish(start(kind, file, output, *asked))
    assert told["loss"] == pytest.approx(single.loss, rel=1e-4)
    assert_same(output, single)
    assert told["before"]["present"]["questions"] == told["after"]["present"]["questions"] == 5
    for name in ("adapter", "merged"):
        segmenter = Segmenter.from_pretrained(str(output / name), grid="4x4")
        assert segmenter(IMAGES / "cat.jpg", "the cat").grid


@pytest.mark.slow
@pytest.mark.parametrize("changes", [FULL, WEIGHTED], ids=["without an adapter", "weighted loss"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_as_one(
    kind: str, changes: tuple[str, ...], file: Path, tmp_path: Path
) -> None:
    single = train(load_recipe(file, (f"output={tmp_path / 'one'}", *changes)))
    told = finish(start(kind, file, tmp_path / kind, *changes))
    assert told["loss"] == pytest.approx(single.loss, rel=1e-4)
    assert_same(tmp_path / kind, single)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(RECIPES))
def test_fsdp_finds_the_layers_of_every_family(model_type: str, file: Path, tmp_path: Path) -> None:
    base = build(model_type, tmp_path / "base", small_tokenizer())
    changes = (f"model.folder={base}", "training.steps=2", "lora.rank=2")
    single = train(load_recipe(file, (f"output={tmp_path / 'one'}", *changes)))
    told = finish(start("fsdp", file, tmp_path / "fsdp", *changes))
    assert told["loss"] == pytest.approx(single.loss, rel=1e-4)


SHARDED = [
    pytest.param({}, None, id="one process"),
    pytest.param({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, "FSDP", id="fsdp"),
    pytest.param({"ACCELERATE_USE_DEEPSPEED": "true"}, None, id="zero2"),
    pytest.param({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
                 "ZeRO-3", id="zero3"),
]  # fmt: skip


@pytest.mark.parametrize(("told", "kind"), SHARDED)
def test_what_shares_weights_is_known_from_the_launch(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], kind: str | None
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert sharding() == kind


def test_deepspeed_may_have_a_file_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "deepspeed.json"
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(settings))
    for text, kind in {'{"zero_optimization": {"stage": 3}}': "ZeRO-3", "{}": None}.items():
        settings.write_text(text)
        assert sharding() == kind


REFUSED = [
    pytest.param("report.validate_every=2", "2", "report.validate_every=0", id="validation"),
    pytest.param("model.quantize=4bit", "2", "model.quantize=none", id="four bits"),
    pytest.param("model.folder=nano", "2", "one process", id="nano"),
    pytest.param("training.steps=1", "1", "fsdp_version: 2", id="the first FSDP"),
]


@pytest.mark.parametrize(("change", "version", "match"), REFUSED)
def test_what_needs_all_weights_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    file: Path,
    change: str,
    version: str,
    match: str,
) -> None:
    recipe = load_recipe(file, (f"output={tmp_path / 'run'}", change))
    check_sharding(recipe)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", version)
    for begin in (estimate, train):
        with pytest.raises(InputError, match=match):
            begin(recipe)
    assert not (tmp_path / "run").exists()
