"""Validation while a model is trained: figures and pictures to whatever tracks the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from text4seg.core.files import write_atomically
from text4seg.images import image_to_png

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models import VisionLanguageModel
    from text4seg.training.recipe import Recipe

FOLDER = "overlays"


@dataclass(frozen=True, slots=True, eq=False)
class ValidationResult:
    """Figures by set, and named pictures of answers."""

    figures: Mapping[str, Mapping[str, Any]]
    pictures: Sequence[tuple[str, Image]]


ValidateFn = Callable[["VisionLanguageModel"], ValidationResult]
"""Asks a model some of the validation's questions."""


class ValidationCallback(TrainerCallback):
    """Asks every so many steps; training is left as it was, its random numbers too."""

    def __init__(
        self, recipe: Recipe, chat: Callable[[], VisionLanguageModel], watch: ValidateFn | None
    ) -> None:
        self._every, self._trackers = recipe.report.validate_every, recipe.report.to
        self._folder = Path(recipe.output) / FOLDER
        self._chat, self._watch = chat, watch
        self.trainer: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        step = state.global_step
        if self._watch is None or not self._every or step % self._every:
            return
        if not state.is_world_process_zero:
            return
        training = model.training
        try:
            with torch.random.fork_rng():
                seen = self._watch(self._chat())
        finally:
            model.train(training)
        due = control.should_log
        self.trainer.log(flatten(seen.figures))
        # Else this step's loss would go unlogged, and other processes wait for this one to log it.
        control.should_log = due
        for name, picture in seen.pictures:
            self._show(name, picture, step)

    def _show(self, name: str, picture: Image, step: int) -> None:
        write_atomically(self._folder / f"{name}-{step:06}.png", image_to_png(picture))
        for callback in self.trainer.callback_handler.callbacks:
            writer = getattr(callback, "tb_writer", None)
            if writer is not None:
                writer.add_image(f"validation/{name}", np.asarray(picture), step, dataformats="HWC")
        if "trackio" in self._trackers:
            import trackio

            trackio.log({f"validation/{name}": trackio.Image(np.asarray(picture))}, step=step)


def flatten(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """`validation/SET/FIGURE` for those that are numbers."""
    return {
        f"validation/{name}/{key}": float(value)
        for name, of_set in figures.items()
        for key, value in of_set.items()
        if isinstance(value, int | float)
    }
