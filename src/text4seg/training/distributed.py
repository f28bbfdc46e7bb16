"""Training in several processes: which one writes, and how sharded weights are gathered.

torchrun and `accelerate launch` describe the processes in environment variables. Under FSDP and
ZeRO-3 a process holds a shard of every weight, so a forward pass or reading a weight needs all
processes at once: a single one would wait for ever, or see nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.core.errors import InputError
from text4seg.training.tuner import find_tuner

if TYPE_CHECKING:
    from torch import Tensor

    from text4seg.training.recipe import Recipe

_FSDP, _ZERO3 = "FSDP", "ZeRO-3"


def is_leading() -> bool:
    """Whether this is the process that prints, validates and writes."""
    return int(os.environ.get("RANK", "0")) == 0


def world_size() -> int:
    """Get the number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_gpu() -> str:
    """Get the torch name of this process's GPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def sharding() -> str | None:
    """Get what shards the weights: `FSDP`, `ZeRO-3`, or None."""
    # accelerate hands its configuration to the processes in these variables alone.
    if _is_set("ACCELERATE_USE_FSDP"):
        return _FSDP
    if _is_set("ACCELERATE_USE_DEEPSPEED") and _zero_stage() == 3:
        return _ZERO3
    return None


def _is_set(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"


def _zero_stage() -> int:
    file = Path(os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none"))
    if not file.is_file():
        return int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))
    try:
        stage = json.loads(file.read_text(encoding="utf-8"))["zero_optimization"]["stage"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # DeepSpeed tells what is wrong with its file
    return int(stage)


def count_steps(recipe: Recipe, samples: int) -> int:
    """Count a recipe's optimizer steps; raises `InputError` for a batch that cannot be shared."""
    training = recipe.training
    per_step = training.device_batch * world_size()
    # A remainder would change the batch, hence what is learned, with the number of processes.
    if training.batch % per_step:
        raise InputError(
            f"training.batch={training.batch} is no multiple of training.device_batch="
            f"{training.device_batch} times {world_size()} processes"
        )
    if training.steps:
        return training.steps
    return max(1, round(training.epochs * samples / training.batch))


def check_sharding(recipe: Recipe) -> None:
    """Raise `InputError` for settings that need all weights in one process, if they are sharded."""
    kind = sharding()
    if kind is None:
        return
    # The first version flattens weights, so that none can be read by its name.
    if kind == _FSDP and os.environ.get("FSDP_VERSION", "1") != "2":
        raise InputError("FSDP is wanted in its second version: fsdp_version: 2 for accelerate")
    if not find_tuner(recipe.model.folder).can_shard:
        raise InputError(
            f"{recipe.model.folder} is not trained with {kind}: train it in one process"
        )
    if recipe.model.quantize != "none":
        raise InputError(
            f"weights in four bits are not shared by {kind}: --set model.quantize=none, or launch "
            "with recipes/accelerate/ddp.yaml"
        )
    if recipe.report.validate_every:
        raise InputError(
            f"report.validate_every asks the model in one process, and under {kind} no process "
            "has all of it while it trains: --set report.validate_every=0 (data.validation is "
            "still asked before and after), or launch with recipes/accelerate/zero2.yaml"
        )


def move_to_ask(model: Any) -> None:
    """Move a whole model to this process's GPU, if any; raises `InputError` if it does not fit."""
    import torch

    if not torch.cuda.is_available():
        return
    try:
        model.to(own_gpu())
    except torch.OutOfMemoryError as error:
        raise InputError(
            "one GPU does not hold the whole model, so its validation cannot be asked: leave out "
            "data.validation, and ask with text4seg evaluate where it fits"
        ) from error


def name_layers(trainer: Any) -> None:
    """Tell FSDP which layers to shard one by one, where its configuration names none."""
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is None or plugin.transformer_cls_names_to_wrap:
        return
    # A model's list also names layers that only its relatives have (the text half of a CLIP or
    # SigLIP), and accelerate stops at a name that it does not find.
    there = {type(module).__name__ for module in trainer.model.modules()}
    plugin.transformer_cls_names_to_wrap = sorted(
        there.intersection(trainer.model._no_split_modules)
    )


def learned_weights(model: Any) -> dict[str, Tensor]:
    """Gather the trained weights by name, whole, on the CPU; every process has to call this."""
    learned: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        # Gathering is a collective operation: processes that do not keep the result take part.
        whole = _gather(parameter)
        if is_leading():
            learned[name] = whole.cpu()
    return learned


def _gather(parameter: Any) -> Tensor:
    if hasattr(parameter, "ds_id"):  # ZeRO-3's mark
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            kept: Tensor = parameter.detach().clone()
        return kept
    whole = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
    found: Tensor = whole.detach()
    return found
