"""Callbacks of transformers' trainer: progress, and validation while a model is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from text4seg.core.files import write_atomically
from text4seg.images import image_to_png
from text4seg.training.tuner import Figures, ProgressFn, ValidateFn

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models import VisionLanguageModel
    from text4seg.training.recipe import Recipe

OVERLAYS = "overlays"
_SHOWN = ("loss", "learning_rate", "grad_norm")


class ProgressCallback(TrainerCallback):
    """Reports every step, with the last figures that were logged."""

    def __init__(self, progress: ProgressFn) -> None:
        self._progress = progress
        self._figures: dict[str, float] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Keep the figures for the next step."""
        self._figures |= {key: float(logs[key]) for key in _SHOWN if key in (logs or {})}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Report the step."""
        self._progress(state.global_step, state.max_steps, self._figures)


class ValidationCallback(TrainerCallback):
    """Validates every `report.validate_every` steps.

    What is learned does not depend on it: the random numbers of the training are left as they
    were, and the model returns to its training mode.

    Attributes:
        trainer: The trainer whose log gets the scores; set once the trainer exists.
    """

    def __init__(
        self,
        recipe: Recipe,
        get_model: Callable[[], VisionLanguageModel],
        validate: ValidateFn | None,
    ) -> None:
        """Create a callback.

        Args:
            recipe: Its section `report` says how often and where to.
            get_model: Returns the model as it is now.
            validate: Asks the model; None never validates.
        """
        self._every, self._trackers = recipe.report.validate_every, recipe.report.to
        self._folder = Path(recipe.output) / OVERLAYS
        self._get_model, self._validate = get_model, validate
        self.trainer: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Validate if it is time to."""
        step = state.global_step
        if self._validate is None or not self._every or step % self._every:
            return
        # One process asks for all; where that is impossible, the recipe was refused.
        if not state.is_world_process_zero:
            return
        training = model.training
        try:
            # Validation must not move the random numbers: the training would depend on it.
            with torch.random.fork_rng():
                result = self._validate(self._get_model())
        finally:
            model.train(training)
        should_log = control.should_log
        self.trainer.log(flatten(result.figures))
        # `log` clears the flag. This step's loss would go unlogged, and other processes wait for
        # this one to log it.
        control.should_log = should_log
        for name, picture in result.pictures:
            self._show(name, picture, step)

    def _show(self, name: str, picture: Image, step: int) -> None:
        write_atomically(self._folder / f"{name}-{step:06}.png", image_to_png(picture))
        # transformers' callbacks log numbers alone, so images go to the trackers' own writers.
        for callback in self.trainer.callback_handler.callbacks:
            writer = getattr(callback, "tb_writer", None)
            if writer is not None:
                writer.add_image(f"validation/{name}", np.asarray(picture), step, dataformats="HWC")
        if "trackio" in self._trackers:
            import trackio

            trackio.log({f"validation/{name}": trackio.Image(np.asarray(picture))}, step=step)


def flatten(figures: Figures) -> dict[str, float]:
    """Flatten the scores that are numbers to `validation/SET/NAME`, for trackers."""
    return {
        f"validation/{name}/{key}": float(value)
        for name, of_set in figures.items()
        for key, value in of_set.items()
        if isinstance(value, int | float)
    }
