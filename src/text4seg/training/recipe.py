"""Recipes: everything that a training depends on, as checked dataclasses.

A recipe is a TOML file whose keys are the attributes below, such as `training.steps`; `--set` and
`overrides` change them. An unknown key or a value out of its bounds is an error.
"""

from __future__ import annotations

import dataclasses
import json
import operator
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from text4seg.codec import get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.types import GridShape
from text4seg.data import READERS
from text4seg.models.defaults import ModelDefaults


@dataclass(frozen=True, slots=True)
class ModelSection:
    """The model to train: `[model]`.

    Attributes:
        folder: A folder with a model of a known family, or `nano`.
        quantize: `4bit` loads the frozen weights in four bits (QLoRA; needs bitsandbytes and CUDA).
        side: Side in pixels of the square that images are stretched to, where the family leaves it
            open; 0 is the family's own.
        attention: The attention implementation of transformers; empty is its own choice.
    """

    folder: str = ""
    quantize: Literal["none", "4bit"] = "none"
    side: int = 0
    attention: str = ""


@dataclass(frozen=True, slots=True)
class DataSection:
    """The data: `[data]`.

    Attributes:
        train: Questions (JSON Lines as `text4seg evaluate` reads them) or chats (`messages` and
            `images`, as trainers read them); of another layout, its folder or file.
        validation: Questions that are asked before and after training; empty for none.
        layout: How both are laid out, as `text4seg build readers` lists them: `jsonl`,
            `mask-pairs` for a folder of your own masks, `coco`, …
        hold_out: Share of the images that are not learned from but asked before and after, where
            there is no `validation`. Which ones depends on nothing but their names.
        images: The folder that image paths start from; `.` is the layout's usual place.
        format: The text format to teach; `box` teaches boxes with a grid each.
        grid: Rows x columns, of the image or of each box.
        wordings: Question templates: `varied` takes each in turn, `one` always the first.
        limit: The first samples to learn from; 0 is all.
    """

    train: str = ""
    validation: str = ""
    layout: str = "jsonl"
    hold_out: float = 0.0
    images: str = "."
    format: str = "rrle"
    grid: str = "16x16"
    wordings: Literal["varied", "one"] = "varied"
    limit: int = 0

    def defaults(self, *, square: int | None = None) -> ModelDefaults:
        """Get the defaults of a model that learns from this data, to save beside its weights.

        Args:
            square: Side in pixels of the square that images are stretched to.

        Returns:
            The recipe's format and grid.
        """
        return ModelDefaults(self.format, GridShape.parse(self.grid), square)


@dataclass(frozen=True, slots=True)
class LoraSection:
    """The adapter: `[lora]`, on all linear layers of the language model and of the projector.

    Attributes:
        rank: The adapter's rank; 0 trains those layers themselves, without an adapter.
        alpha: The adapter's output is scaled by `alpha / rank`.
        dropout: Share of the adapter's inputs that are dropped.
    """

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.05


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """How to train: `[training]`. Defaults are the paper's settings for one run.

    Attributes:
        epochs: Passes over the data.
        steps: Optimizer steps; overrides `epochs` unless it is 0.
        batch: Samples a step, over all devices.
        device_batch: Samples that a device holds at once; the rest is accumulated.
        learning_rate: The highest learning rate.
        schedule: How the learning rate falls.
        warmup: Share of the steps over which the learning rate rises.
        weight_decay: AdamW's.
        clip: The largest norm of a gradient.
        precision: What is computed in; weights stay as they are stored.
        gradient_checkpointing: Save memory by computing activations twice.
        seed: Seed of the data's order and of dropout.
        save_every: Steps between checkpoints; 0 is ten in all.
        interpolate_on: Share of the images that are not learned from but tell how much of what was
            learned is kept, up to one half; nano alone, 0 keeps all.
        workers: Processes that prepare batches; 0 is none beside the training's own.
    """

    epochs: float = 1.0
    steps: int = 0
    batch: int = 128
    device_batch: int = 4
    learning_rate: float = 2e-4
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.03
    weight_decay: float = 0.0
    clip: float = 1.0
    precision: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    gradient_checkpointing: bool = True
    seed: int = 0
    save_every: int = 0
    interpolate_on: float = 0.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class LossSection:
    """Loss weights of an answer's tokens: `[loss]`; 1.0 is the ordinary next-token loss.

    Attributes:
        digits: Weight of the tokens of run lengths.
        background: Weight of the tokens of rows that are background throughout.
    """

    digits: float = 1.0
    background: float = 1.0


@dataclass(frozen=True, slots=True)
class ReportSection:
    """What is logged and validated during training: `[report]`.

    Attributes:
        to: Trackers of transformers: `tensorboard`, `trackio`, …; empty for none.
        every: Steps between lines of the log.
        validate_every: Steps between validations; 0 validates before and after only.
        questions: How many validation questions are asked then, spread over the file.
        pictures: How many of the answers are drawn, beside the true masks.
    """

    to: tuple[str, ...] = ()
    every: int = 10
    validate_every: int = 0
    questions: int = 32
    pictures: int = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a training depends on.

    Attributes:
        output: The folder that is written.
        expected: What the recipe is known to reach, and where that is from.
        model: The model to train.
        data: The data.
        lora: The adapter.
        training: How to train.
        loss: Loss weights.
        report: What is logged and validated during training.
    """

    output: str = "runs/text4seg"
    expected: str = ""
    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    lora: LoraSection = field(default_factory=LoraSection)
    training: TrainingSection = field(default_factory=TrainingSection)
    loss: LossSection = field(default_factory=LossSection)
    report: ReportSection = field(default_factory=ReportSection)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON.

        Returns:
            Nested plain values.
        """
        return dataclasses.asdict(self)


def load_recipe(path: str | Path, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Recipe:
    """Read a recipe and check every key and value.

    Args:
        path: The TOML file.
        overrides: Values by `section.key`; or `section.key=value`, with values as TOML writes them
            or as bare words.

    Returns:
        The recipe, with defaults where the file says nothing.

    Raises:
        InputError: The file or a value cannot be used; key, value and what is expected are named.
        UnknownNameError: There is no such key; the closest one is proposed.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    changes: Iterable[tuple[str, Any]]
    changes = overrides.items() if isinstance(overrides, Mapping) else map(_parse, overrides)
    for key, value in changes:
        _put(found, key, value)
    recipe: Recipe = _build(Recipe, found, "")
    _check(recipe)
    return recipe


def _parse(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"--set needs section.key=value, got {override!r}")
    # A bare word is a string, so that paths need no quotes on the command line.
    try:
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text.strip()


def _put(settings: dict[str, Any], key: str, value: Any) -> None:
    names = key.split(".")
    if not all(names):
        raise InputError(f"a key of a recipe is written section.key, got {key!r}")
    place = settings
    for name in names[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise InputError(f"{key} names a key inside {name!r}, which is a value")
    # A path is text in TOML, and a tuple a list.
    plain = str(value) if isinstance(value, Path) else value
    place[names[-1]] = list(plain) if isinstance(plain, tuple) else plain


def _build(kind: type[Any], settings: Mapping[str, Any], section: str) -> Any:
    hints = get_type_hints(kind)
    made = {}
    for name, value in settings.items():
        key = f"{section}{name}"
        # A misspelt key would silently keep its default.
        if name not in hints:
            raise UnknownNameError("key of a recipe", key, [f"{section}{known}" for known in hints])
        made[name] = _value(hints[name], value, key)
    return kind(**made)


def _value(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise InputError(f"{key} is a section of a recipe, not a value: [{key}]")
        return _build(hint, value, f"{key}.")
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UnknownNameError(key, str(value), [str(known) for known in get_args(hint)])
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError(f'{key} must be a list of names such as ["tensorboard"]: {value!r}')
        return tuple(value)
    # TOML tells 1 from 1.0, people do not. True is an int to isinstance, hence type().
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise InputError(
            f"{key} must be of the kind {hint.__name__}, got {json.dumps(value, default=str)}"
        )
    return value


# Bounds stand apart from the dataclasses: a table is read, and tested, at a glance.
_AT_LEAST = {
    "training.batch": 1,
    "training.device_batch": 1,
    "training.steps": 0,
    "training.save_every": 0,
    "training.workers": 0,
    "training.warmup": 0,
    "training.interpolate_on": 0,
    "training.clip": 0,
    "training.weight_decay": 0,
    "lora.rank": 0,
    "lora.dropout": 0,
    "data.limit": 0,
    "data.hold_out": 0,
    "model.side": 0,
    "loss.digits": 0,
    "loss.background": 0,
    "report.every": 1,
    "report.validate_every": 0,
    "report.questions": 1,
    "report.pictures": 0,
}
_ABOVE = {"training.epochs": 0.0, "training.learning_rate": 0.0, "lora.alpha": 0.0}
_AT_MOST = {"training.interpolate_on": 0.5}
_BELOW = {"data.hold_out": 1.0, "training.warmup": 1.0, "lora.dropout": 1.0}
_BOUNDS: tuple[tuple[str, Callable[[float, float], bool], Mapping[str, float]], ...] = (
    ("at least", operator.ge, _AT_LEAST),
    ("above", operator.gt, _ABOVE),
    ("at most", operator.le, _AT_MOST),
    ("below", operator.lt, _BELOW),
)


def _check(recipe: Recipe) -> None:
    # Bounds first: reading data or a model with a wrong value fails later and says less.
    for words, holds, bounds in _BOUNDS:
        for key, bound in bounds.items():
            if not holds(value := _get(recipe, key), bound):
                raise InputError(f"{key} must be {words} {bound:g}, got {value}")
    # No default makes sense for these, and a recipe for everyone cannot name them.
    for key in ("model.folder", "data.train", "output"):
        if not _get(recipe, key):
            raise InputError(f"the recipe must name {key}; give it with --set {key}=PATH")
    _check_data(recipe.data)


def _check_data(data: DataSection) -> None:
    if data.layout not in READERS:
        raise UnknownNameError("data.layout", data.layout, READERS)
    if data.hold_out and data.validation:
        raise InputError("give data.validation or data.hold_out, not both")
    # Both raise for a value that they cannot read.
    get_format(data.format)
    GridShape.parse(data.grid)


def _get(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value
