"""What a recipe takes, estimated before any weights are loaded.

Parameters are counted on a model without memory (torch's meta device), tokens on a sample of the
data. Memory follows from the formulas below; hours follow from how fast this machine multiplies
matrices right now.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.core.errors import InputError, WeightsError
from text4seg.training.chats import Chat, read_chats
from text4seg.training.distributed import check_sharding, count_steps
from text4seg.training.recipe import Recipe
from text4seg.training.tuner import Estimate, find_tuner

if TYPE_CHECKING:
    from collections.abc import Sequence

_COUNTED = 64  # samples whose tokens are counted
_UTILISATION = 0.4  # of what a matrix product reaches, in a training of transformers
ADAM_BYTES = 12  # bytes a trained parameter beside itself: gradient and two moments in float32
_BYTES_4BIT = 0.55  # a weight in four bits with its scales, doubly quantized
LAYER_BYTES = 34  # bytes a layer keeps for each token and channel (Korthikanti et al. 2022, §4)
_KEPT = 2  # bytes a token and channel that checkpointing keeps of a layer
_CHUNK = 256 * 4 * 3  # bytes of a token's logits a vocabulary entry, in TRL's tiles


def estimate(recipe: Recipe) -> Estimate:
    """Count what a recipe trains and estimate what it takes; loads no weights of large models.

    Args:
        recipe: The recipe.

    Returns:
        The estimate for this machine.

    Raises:
        InputError: The data or a setting cannot be used.
        WeightsError: The folder holds no model's configuration.
        UnknownNameError: The model is of no known family.
    """
    check_sharding(recipe)
    chats = read_chats(recipe.data.train, recipe.data)
    return find_tuner(recipe.model.folder).estimate(recipe, chats)


def estimate_hf(recipe: Recipe, chats: Sequence[Chat]) -> Estimate:
    """Estimate the training of a Hugging Face model; raises as `estimate`."""
    model, rows = _skeleton(recipe, chats)
    config = model.config.get_text_config()
    lengths = [len(row.ids) for row in rows]
    mean = sum(lengths) / len(lengths)
    total = sum(parameter.numel() for parameter in model.parameters())
    linear = _linear(model, recipe)
    rank = recipe.lora.rank
    # LoRA adds two factors of the rank to each matrix.
    trained = sum(rank * (a + b) if rank else a * b for a, b in linear)
    steps = count_steps(recipe, len(chats))
    batch = recipe.training.device_batch * max(lengths)
    checkpointed = recipe.training.gradient_checkpointing
    # Checkpointing keeps each layer's input, and all of the one layer that is computed again.
    kept = _KEPT * config.num_hidden_layers + LAYER_BYTES if checkpointed else (
        LAYER_BYTES * config.num_hidden_layers)  # fmt: skip
    # Forward 2, backward 2 (and 2 for the weights where all are trained), and forward once more.
    factor = (4 if rank else 6) + (2 if checkpointed else 0)
    operations = factor * total * mean * recipe.training.batch * steps
    device, speed = measure_speed()
    return Estimate(
        samples=len(chats),
        images=len({chat.image for chat in chats}),
        steps=steps,
        tokens=mean,
        longest=max(lengths),
        loss_share=sum(sum(x > 0 for x in row.weights) for row in rows) / sum(lengths),
        parameters=total,
        trained=trained,
        weights=_weights(recipe, total, sum(a * b for a, b in linear)),
        # An adapter's weights are in float32 besides; trained weights are the model's own.
        adapter=trained * (ADAM_BYTES + 4 if rank else ADAM_BYTES),
        activations=float(batch * (kept * config.hidden_size) + _CHUNK * config.vocab_size),
        tera_operations=operations / 1e12,
        hours=to_hours(operations, speed),
        device=device,
    )


def to_hours(operations: float, speed: float) -> float:
    """Convert operations to hours, at the share of a product's speed that a training reaches."""
    return operations / (speed * _UTILISATION) / 3600


def _weights(recipe: Recipe, total: int, linear: int) -> float:
    if recipe.model.quantize == "4bit":
        return _BYTES_4BIT * linear + 2.0 * (total - linear)
    return (4.0 if recipe.training.precision == "float32" else 2.0) * total


def _linear(model: Any, recipe: Recipe) -> list[tuple[int, int]]:
    from text4seg.models.families import get_family
    from text4seg.training.trainer import linear_modules

    family = get_family(model.config.model_type)
    names = linear_modules(model, family)
    if not names:
        raise InputError(f"{recipe.model.folder} has no linear layer under {family.language}")
    modules = [model.get_submodule(name) for name in names]
    return [(module.in_features, module.out_features) for module in modules]


def _skeleton(recipe: Recipe, chats: Sequence[Chat]) -> tuple[Any, list[Any]]:
    """Make the model without memory, and some samples as tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from text4seg.models.defaults import ModelDefaults, read_json
    from text4seg.models.families import get_family, square_side
    from text4seg.models.hf.loading import base_folder, load_processor
    from text4seg.models.hf.prompter import Prompter
    from text4seg.training.collate import Collator

    folder = base_folder(Path(recipe.model.folder))
    family = get_family(str(read_json(folder / "config.json").get("model_type")))
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):  # shapes without memory
            model = AutoModelForImageTextToText.from_config(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / 'config.json'} configures no model: {error}") from error
    side = recipe.model.side or ModelDefaults.load(folder).square or square_side(family, config)
    processor = load_processor(folder, family)
    prompter = Prompter(family, processor, side=side, eos=processor.tokenizer.eos_token_id or 0)
    collator = Collator(prompter, pad=0)
    # Evenly over the data: sorted files may begin with the shortest samples.
    every = max(1, len(chats) // _COUNTED)
    return model, [collator.encode(chat)[0] for chat in chats[::every][:_COUNTED]]


def measure_speed(seconds: float = 0.3, *, precision: str = "bfloat16") -> tuple[str, float]:
    """Measure this device: its name, and the operations a second of a large matrix product."""
    import torch

    gpu = torch.cuda.is_available()
    size = 4096 if gpu else 512
    kind = "cuda" if gpu else "cpu"
    name = torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} CPU threads"
    a = torch.randn(size, size, dtype=getattr(torch, precision), device=kind)
    a @ a  # the first product sets up the libraries
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        (a @ a).sum().item()
        count += 1
    return name, 2.0 * size**3 * count / (time.perf_counter() - started)
