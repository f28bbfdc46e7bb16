"""A recipe, carried out: data → model → TRL's trainer → a folder that a `Segmenter` loads."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from text4seg.core.errors import InputError, MissingExtraError, OutputError
from text4seg.models import is_nano
from text4seg.training.conversations import Chat, read_chats
from text4seg.training.distributed import check_sharding, is_leading
from text4seg.training.recipe import Recipe

if TYPE_CHECKING:
    from text4seg.models import VisionLanguageModel
    from text4seg.training.callbacks import ValidateFn
    from text4seg.training.nano.interpolation import Interpolation

# Those of them that are modules of the same name.
_TRACKERS = ("tensorboard", "trackio", "wandb", "mlflow", "comet_ml", "swanlab")
Figures = Mapping[str, Any]
Validate = Callable[["VisionLanguageModel"], Figures]
"""Asks a model the validation's questions; the figures by set, as plain values."""
Progress = Callable[[int, int, Mapping[str, float]], None]
"""ProgressCallback of the step, of how many there are, and of the last figures."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What came of it; `before` and `after` are the validation's figures by set.

    `choice` tells how much of what was learned is kept, where the recipe has that chosen; `aliases`
    are the user's words that the model reads as names that it knew.
    """

    folder: Path
    steps: int
    seconds: float
    loss: float | None
    before: Figures
    after: Figures
    choice: Interpolation | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)


class Tuning(Protocol):
    """One way to train a model: what differs between nano and the families of the table."""

    choice: Interpolation | None
    aliases: dict[str, str]

    def chat(self) -> VisionLanguageModel:
        """The model as it is now, to be asked."""
        ...

    def fit(
        self, chats: list[Chat], output: Path, progress: Progress, watch: ValidateFn | None
    ) -> tuple[int, float | None]:
        """Train, from the last finished checkpoint on; the number of steps and the last loss."""
        ...

    def save(self, output: Path) -> None:
        """Write what a `Segmenter` loads."""
        ...


def train(
    recipe: Recipe,
    *,
    validate: Validate | None = None,
    watch: ValidateFn | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train as the recipe says; a run that was killed goes on from its last checkpoint.

    `validate` is called before and after, `watch` every `report.validate_every` steps.

    Raises:
        InputError: The data or a setting cannot be used, or the output holds another run.
        WeightsError: The model cannot be loaded.
        TrainingError: The loss is no number; the last checkpoint is kept.
        OutputError: A result cannot be written.
    """
    from text4seg.training.checkpoints import lock_output_dir
    from text4seg.training.model_card import write_card

    output = Path(recipe.output)
    check_trackers(recipe.report.to)
    check_sharding(recipe)
    chats = read_chats(recipe.data.train, recipe.data)
    tuning = make_tuning(recipe)
    leading = is_leading()
    if leading:
        lock_output_dir(output, recipe)
    before = validate(tuning.chat()) if validate and leading else {}
    started = time.perf_counter()
    with explain_failures(output):
        steps, loss = tuning.fit(chats, output, progress or (lambda *_: None), watch)
        if leading:
            tuning.save(output)
    seconds = time.perf_counter() - started
    after = validate(tuning.chat()) if validate and leading else {}
    trained = TrainResult(
        output, steps, seconds, loss, before, after, tuning.choice, tuning.aliases
    )
    if leading:
        write_card(recipe, trained, chats)
    return trained


def check_trackers(names: Sequence[str]) -> None:
    """Raise `InputError` for a tracker of `report.to` that is not installed."""
    missing = [name for name in names if name in _TRACKERS and not find_spec(name)]
    if missing:
        raise InputError(
            f"report.to names {', '.join(missing)}, not installed here: "
            f"pip install {' '.join(missing)}"
        )


def make_tuning(recipe: Recipe) -> Tuning:
    """The way to train the recipe's model, with the model loaded."""
    try:
        if is_nano(recipe.model.folder):
            from text4seg.training.nano.nano_tuner import NanoTuning

            return NanoTuning(recipe)
        from text4seg.training.tune_hf import HFTuning

        return HFTuning(recipe)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "trl", "train") from error


class explain_failures:  # noqa: N801 - a context manager reads like a function
    """Turns what a full disk or a full memory raises into an error that says what to do."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if _is_out_of_memory(error):
            raise InputError(
                "the memory is full: halve training.device_batch (the global batch stays), then "
                "set training.gradient_checkpointing=true, then model.quantize=4bit, then a "
                "smaller model.side or data.grid; text4seg train --plan estimates each"
            ) from error
        if _is_full_disk(error):
            raise OutputError(
                f"{self._output} cannot be written, the disk is full; the last finished "
                "checkpoint is kept: make room and run the same command again"
            ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _is_full_disk(error: BaseException) -> bool:
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return full or "No space left on device" in str(error) or "file write failed" in str(error)
