"""A recipe's validation: questions that the model is asked before, during and after training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from text4seg.core.run_lengths import rle_to_mask
from text4seg.data import Sample
from text4seg.evaluation import ScoreRecord, evaluate, summarize
from text4seg.images import draw_overlay
from text4seg.segmenter import Segmenter
from text4seg.training.chats import read_validation
from text4seg.training.tuner import Figures, ValidationResult

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models import VisionLanguageModel
    from text4seg.training.recipe import Recipe

_LONGEST_SIDE = 320  # pixels of a drawn image
_HALF = 127  # of a mask's 255 after it was resized

AnswerFn = Callable[[int, int], None]
"""Called with the number of answered questions and the number of all."""


class Validator:
    """Asks a model the validation questions of a recipe, in the recipe's format and grid."""

    def __init__(self, recipe: Recipe, on_answer: AnswerFn | None = None) -> None:
        """Read the questions.

        Args:
            recipe: The recipe; without a validation there are no questions.
            on_answer: Called after each answer of `ask_all`.

        Raises:
            InputError: The validation data cannot be used.
        """
        self._recipe, self._on_answer = recipe, on_answer
        self.samples = read_validation(recipe.data)

    def __bool__(self) -> bool:
        return bool(self.samples)

    def ask_all(self, model: VisionLanguageModel) -> Figures:
        """Ask every question.

        Args:
            model: The model as it is now.

        Returns:
            The scores of each set.
        """
        total = sum(len(sample.targets) for sample in self.samples)
        count = 0

        def count_answer(_: ScoreRecord) -> None:
            nonlocal count
            count += 1
            if self._on_answer is not None:
                self._on_answer(count, total)

        return _get_figures(self._ask(model, self.samples, count_answer))

    def ask_some(self, model: VisionLanguageModel) -> ValidationResult:
        """Ask `report.questions` of the questions, spread evenly over the file.

        Args:
            model: The model as it is now.

        Returns:
            The scores, and drawings of the first answers beside the true masks.
        """
        report = self._recipe.report
        records = self._ask(model, sample_evenly(self.samples, report.questions))
        return ValidationResult(
            _get_figures(records), draw_answers(records, self.samples, report.pictures)
        )

    def _ask(
        self,
        model: VisionLanguageModel,
        samples: Sequence[Sample],
        on_record: Callable[[ScoreRecord], None] | None = None,
    ) -> list[ScoreRecord]:
        # The recipe's format and grid, whatever the model was taught before: it is to be compared.
        data = self._recipe.data
        segmenter = Segmenter(model, grid=data.grid, format=data.format)
        return list(evaluate(segmenter, samples, on_record=on_record).records)


def _get_figures(records: Sequence[ScoreRecord]) -> Figures:
    return {name: asdict(summary) for name, summary in summarize(records).items()}


def sample_evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Take some questions at even distances; the images that are left, each with those taken."""
    # Over questions, not images: an image may have many.
    places = [(at, i) for at, sample in enumerate(samples) for i in range(len(sample.targets))]
    count = min(count, len(places))
    taken: dict[int, list[int]] = {}
    for at, i in (places[round(k * len(places) / count)] for k in range(count)):
        taken.setdefault(at, []).append(i)
    return [
        replace(samples[at], targets=tuple(samples[at].targets[i] for i in kept))
        for at, kept in taken.items()
    ]


def draw_answers(
    records: Sequence[ScoreRecord], samples: Sequence[Sample], count: int
) -> list[tuple[str, Image]]:
    """Draw the first answers about present things: the true mask left, the answered one right."""
    import PIL.Image

    images = {sample.image.as_posix(): sample for sample in samples}
    drawn: list[tuple[str, Image]] = []
    # Absent things have nothing to show.
    for record in [record for record in records if record.truth.mask is not None][:count]:
        image = images[record.truth.image].open_image()
        image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        picture = PIL.Image.new("RGB", (2 * image.width, image.height))
        masks = (("true", record.truth.mask), ("answer", record.prediction.mask))
        for place, (what, rle) in enumerate(masks):
            mask = np.zeros((image.height, image.width), dtype=bool)
            if rle is not None:
                whole = PIL.Image.fromarray(rle_to_mask(rle).astype(np.uint8) * 255)
                mask = np.asarray(whole.resize(image.size)) > _HALF
            caption = f"{what}: {record.truth.expression}"
            picture.paste(draw_overlay(image, mask, caption=caption), (place * image.width, 0))
        drawn.append((f"{len(drawn)}", picture))
    return drawn
