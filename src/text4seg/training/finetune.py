"""Train by a recipe: data → model → trainer → a folder that a `Segmenter` loads."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, OutputError
from text4seg.training.chats import read_chats
from text4seg.training.distributed import check_sharding, is_leading
from text4seg.training.recipe import Recipe, load_recipe
from text4seg.training.tuner import ProgressFn, TrainResult, find_tuner
from text4seg.training.validation import AnswerFn, Validator

# Those of transformers' trackers that are modules of the same name.
_TRACKERS = ("tensorboard", "trackio", "wandb", "mlflow", "comet_ml", "swanlab")


def train(
    recipe: Recipe | str | Path,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    progress: ProgressFn | None = None,
    on_answer: AnswerFn | None = None,
) -> TrainResult:
    """Fine-tune a model as a recipe says, and validate it before and after.

    A run that was stopped or killed continues from its last finished checkpoint when it is called
    again. Several processes (torchrun, `accelerate launch`) call it alike; the first one validates
    and writes.

    Args:
        recipe: A recipe, or its TOML file.
        overrides: Keys of the file to change, as `{"data.train": "mine.jsonl"}` or as
            `["data.train=mine.jsonl"]`.
        progress: Called after each step.
        on_answer: Called after each answer to a validation question before and after training.

    Returns:
        The folder, the loss and the validation's scores.

    Raises:
        InputError: The recipe, the data or a setting cannot be used, or the output holds another
            run.
        WeightsError: The model cannot be loaded.
        TrainingError: The loss is not finite; the last checkpoint is kept.
        OutputError: A result cannot be written.
        MissingExtraError: A package that training needs is not installed.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise InputError("overrides change the keys of a recipe's file; this is a recipe already")
    output = Path(recipe.output)
    # All that can be refused is refused before the model is loaded, which may take minutes.
    check_trackers(recipe.report.to)
    check_sharding(recipe)
    chats = read_chats(recipe.data.train, recipe.data)
    validator = Validator(recipe, on_answer)
    tuner = find_tuner(recipe.model.folder)(recipe)
    # These import torch and transformers: not before the checks.
    from text4seg.training.checkpoints import lock_output_dir
    from text4seg.training.model_card import write_model_card

    # One process asks and writes; the others only train.
    leading = is_leading()
    if leading:
        lock_output_dir(output, recipe)
    before = validator.ask_all(tuner.model()) if validator and leading else {}
    started = time.perf_counter()
    # Saving is part of it: a full disk shows there as often as at a checkpoint.
    with explain_failures(output):
        steps, loss = tuner.fit(
            chats, output, progress or (lambda *_: None), validator.ask_some if validator else None
        )
        if leading:
            tuner.save(output)
    seconds = time.perf_counter() - started
    after = validator.ask_all(tuner.model()) if validator and leading else {}
    details, notes = tuner.report()
    result = TrainResult(output, steps, seconds, loss, before, after, details, notes)
    if leading:
        write_model_card(recipe, result, chats)
    return result


def check_trackers(names: Sequence[str]) -> None:
    """Raise `InputError` for a tracker of `report.to` that is not installed."""
    missing = [name for name in names if name in _TRACKERS and not find_spec(name)]
    if missing:
        raise InputError(
            f"report.to names {', '.join(missing)}, not installed here: "
            f"pip install {' '.join(missing)}"
        )


@contextmanager
def explain_failures(output: Path) -> Iterator[None]:
    """Turn what a full disk or a full memory raises into an error that says what to do."""
    try:
        yield
    except Exception as error:
        if _is_out_of_memory(error):
            raise InputError(
                "the memory is full: halve training.device_batch (the global batch stays), then "
                "set training.gradient_checkpointing=true, then model.quantize=4bit, then a "
                "smaller model.side or data.grid; text4seg train --plan estimates each"
            ) from error
        if _is_full_disk(error):
            raise OutputError(
                f"{output} cannot be written, the disk is full; the last finished "
                "checkpoint is kept: make room and run the same command again"
            ) from error
        raise


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _is_full_disk(error: Exception) -> bool:
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    # safetensors' errors carry the words alone.
    return full or "No space left on device" in str(error) or "file write failed" in str(error)
