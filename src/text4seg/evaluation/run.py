"""Ask a segmenter every question and compare its answers with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.types import GridShape, Size
from text4seg.data import Asked, Sample
from text4seg.evaluation.report import Outcome
from text4seg.metrics import iou
from text4seg.segmenter import Segmentation, Segmenter


def evaluate(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    *,
    on_answer: Callable[[Sample, Asked, Segmentation], None] | None = None,
) -> list[Outcome]:
    """Answer all questions, each photo opened once, and score every answer.

    Args:
        segmenter: The one to evaluate.
        samples: Photos with their questions.
        on_answer: Told of every answer.

    Raises:
        InputError: A photo turns out to be broken; its source is named.
    """
    outcomes = []
    for sample, asked, segmentation in _answers(segmenter, samples):
        outcomes.append(score(asked, segmentation))
        if on_answer is not None:
            on_answer(sample, asked, segmentation)
    return outcomes


def _answers(
    segmenter: Segmenter, samples: Sequence[Sample]
) -> Iterator[tuple[Sample, Asked, Segmentation]]:
    for sample in samples:
        answers = segmenter.segment_many(sample.image, [asked.expression for asked in sample.asked])
        for asked, segmentation in zip(sample.asked, answers, strict=True):
            yield sample, asked, segmentation


def score(asked: Asked, segmentation: Segmentation) -> Outcome:
    """Compare one answer with the truth.

    The truth has the cells that are at least half covered, and the best-covered ones where none
    is: something that is there is never without a cell.
    """
    truth = asked.to_mask(Size(*segmentation.mask.shape))
    present = asked.mask is not None
    cells = coverage_to_cells(mask_to_coverage(truth, GridShape(*segmentation.probability.shape)))
    written = segmentation.grid.select(segmentation.expression)
    stats = segmentation.stats
    return Outcome(
        set=asked.set,
        truth_cells=int(cells.sum()),
        grid_iou=iou(written, cells) if present else None,
        pixel_iou=iou(segmentation.mask, truth) if present else None,
        empty=segmentation.empty,
        validity=segmentation.validity,
        tokens=stats.tokens,
        passes=stats.passes,
        seconds=stats.seconds,
    )
