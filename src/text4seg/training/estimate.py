"""What a recipe will take, told before any weights are loaded.

The parameters are counted on a model without memory (torch's meta device), the tokens on a sample
of the data. Memory is what the formulas below say, not a measurement; hours follow from how fast
this machine multiplies matrices right now.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.core.errors import InputError, WeightsError
from text4seg.models import is_nano
from text4seg.training.conversations import Chat, read_chats
from text4seg.training.distributed import check_sharding
from text4seg.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

_COUNTED = 64  # samples whose tokens are counted
_UTILISATION = 0.4  # of what a matrix product reaches, in a training of transformers
_ADAM = 12  # bytes a trained parameter beside itself: gradient and two moments in float32
_BYTES_4BIT = 0.55  # a weight in four bits with its scales, doubly quantized
_LAYER = 34  # bytes a layer keeps for each token and channel (Korthikanti et al. 2022, §4)
_KEPT = 2  # bytes a token and channel that checkpointing keeps of a layer
_CHUNK = 256 * 4 * 3  # bytes of a token's logits a vocabulary entry, in TRL's tiles


@dataclass(frozen=True, slots=True)
class Estimate:
    """Sizes in counts and bytes, times in hours on this machine.

    Attributes:
        tokens: Mean tokens of a sample, the image's among them.
        longest: Tokens of the longest sample looked at.
        loss_share: Share of the tokens that the loss stands on; 0 for nano, which learns cells.
        weights: Memory of the model.
        adapter: Memory of what is trained, its gradient and Adam's moments.
        activations: Memory of one device batch between forward and backward.
    """

    samples: int
    images: int
    steps: int
    tokens: float
    longest: int
    loss_share: float
    parameters: int
    trained: int
    weights: float
    adapter: float
    activations: float
    tera_operations: float
    hours: float
    device: str

    @property
    def memory(self) -> float:
        """All of it, in bytes."""
        return self.weights + self.adapter + self.activations

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**asdict(self), "memory": self.memory}


def estimate(recipe: Recipe) -> Estimate:
    """Count and estimate.

    Raises:
        InputError, WeightsError, UnknownNameError: As training would.
    """
    from text4seg.training.tune_hf import count_steps

    check_sharding(recipe)
    chats = read_chats(recipe.data.train, recipe.data)
    if is_nano(recipe.model.folder):
        return _plan_nano(recipe, chats)
    model, rows = _skeleton(recipe, chats)
    config = model.config.get_text_config()
    lengths = [len(row.ids) for row in rows]
    mean = sum(lengths) / len(lengths)
    total = sum(parameter.numel() for parameter in model.parameters())
    linear = _linear(model, recipe)
    rank = recipe.lora.rank
    trained = sum(rank * (a + b) if rank else a * b for a, b in linear)
    steps = count_steps(recipe, len(chats))
    batch = recipe.training.device_batch * max(lengths)
    checkpointed = recipe.training.gradient_checkpointing
    kept = _KEPT * config.num_hidden_layers + _LAYER if checkpointed else (
        _LAYER * config.num_hidden_layers)  # fmt: skip
    device, speed = measure()
    # Forward 2, backward 2 (and 2 for the weights where all are trained), and forward once more.
    factor = (4 if rank else 6) + (2 if checkpointed else 0)
    operations = factor * total * mean * recipe.training.batch * steps
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
        adapter=trained * (_ADAM + 4 if rank else _ADAM),
        activations=float(batch * (kept * config.hidden_size) + _CHUNK * config.vocab_size),
        tera_operations=operations / 1e12,
        hours=operations / (speed * _UTILISATION) / 3600,
        device=device,
    )


# For each parameter of nano's fusion, cell and question: as measured, since questions share images.
_NANO_OPERATIONS = 3.0
_NANO_LOOK = 1.0  # seconds an image, on one core


def _plan_nano(recipe: Recipe, chats: Sequence[Chat]) -> Estimate:
    """A plan for nano: no skeleton is worth making: its configuration and weights are small."""
    from text4seg.models.nano.nano_model import SHIPPED, NanoModel
    from text4seg.training.nano.nano_tuner import check_recipe, read_own
    from text4seg.training.tune_hf import count_steps

    check_recipe(recipe)
    questions = read_own(recipe, chats)
    named = recipe.model.folder
    chat = NanoModel.load(SHIPPED if named == "nano" else Path(named))
    lengths = [len(chat.encode(question.wording)) for question in questions]
    fusion, total = (
        sum(parameter.numel() for parameter in part.parameters())
        for part in (chat.model.fusion, chat.model)
    )
    steps, cells = count_steps(recipe, len(chats)), chat.model.config.cells**2
    images = len({chat.image for chat in chats})
    device, speed = measure(precision="float32")
    operations = _NANO_OPERATIONS * fusion * cells * recipe.training.batch * steps
    layers = chat.model.config.image_layers + 1.5 * chat.model.config.fusion_layers
    kept = recipe.training.device_batch * cells * chat.model.config.width * 2 * _LAYER * layers
    return Estimate(
        samples=len(chats),
        images=images,
        steps=steps,
        tokens=sum(lengths) / len(lengths),
        longest=max(lengths),
        loss_share=0.0,
        parameters=total,
        trained=fusion,
        weights=4.0 * (total + fusion),
        adapter=float(fusion * _ADAM),
        activations=kept,
        tera_operations=operations / 1e12,
        hours=operations / (speed * _UTILISATION) / 3600 + images * _NANO_LOOK / 3600,
        device=device,
    )


def _weights(recipe: Recipe, total: int, linear: int) -> float:
    if recipe.model.quantize == "4bit":
        return _BYTES_4BIT * linear + 2.0 * (total - linear)
    return (4.0 if recipe.training.precision == "float32" else 2.0) * total


def _linear(model: Any, recipe: Recipe) -> list[tuple[int, int]]:
    from text4seg.models.families import get_family
    from text4seg.training.tune_hf import linear_modules

    family = get_family(model.config.model_type)
    names = linear_modules(model, family)
    if not names:
        raise InputError(f"{recipe.model.folder} has no linear layer under {family.language}")
    modules = [model.get_submodule(name) for name in names]
    return [(module.in_features, module.out_features) for module in modules]


def _skeleton(recipe: Recipe, chats: Sequence[Chat]) -> tuple[Any, list[Any]]:
    """The model without memory, and some samples as tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from text4seg.models.defaults import ModelDefaults, read_json
    from text4seg.models.families import get_family, square_side
    from text4seg.models.hf.loading import base_folder, load_processor
    from text4seg.models.hf.prompts import Prompter
    from text4seg.training.collate import Collator

    folder = base_folder(Path(recipe.model.folder))
    family = get_family(str(read_json(folder / "config.json").get("model_type")))
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / 'config.json'} configures no model: {error}") from error
    side = recipe.model.side or ModelDefaults.load(folder).square or square_side(family, config)
    processor = load_processor(folder, family)
    prompter = Prompter(family, processor, side=side, eos=processor.tokenizer.eos_token_id or 0)
    collator = Collator(prompter, pad=0)
    every = max(1, len(chats) // _COUNTED)
    return model, [collator.encode(chat)[0] for chat in chats[::every][:_COUNTED]]


def measure(seconds: float = 0.3, *, precision: str = "bfloat16") -> tuple[str, float]:
    """The device and the operations a second of a large matrix product on it."""
    import torch

    gpu = torch.cuda.is_available()
    size = 4096 if gpu else 512
    kind = "cuda" if gpu else "cpu"
    name = torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} CPU threads"
    a = torch.randn(size, size, dtype=getattr(torch, precision), device=kind)
    a @ a
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        (a @ a).sum().item()
        count += 1
    return name, 2.0 * size**3 * count / (time.perf_counter() - started)
