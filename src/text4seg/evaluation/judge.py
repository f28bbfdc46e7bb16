"""One answer against the truth: a row. Masks are compared as run lengths, without pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from text4seg.core.coverage import runs_to_coverage
from text4seg.core.errors import InputError
from text4seg.core.geometry import coverage_to_cells
from text4seg.core.run_lengths import Runs, cells_to_runs, mask_to_rle, rle_to_mask, rle_to_runs
from text4seg.core.types import Box, GridShape, Size
from text4seg.evaluation.rows import Rle, Row
from text4seg.metrics import Overlap, boundary_f, box_iou, overlap, rle_overlap

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool

    from text4seg.data import ReferringTarget
    from text4seg.segmenter import Segmentation, Validity


@dataclass(frozen=True, slots=True)
class Truth:
    """A question with what is right.

    Attributes:
        index: The question's place in its data set.
        image: The image, as the data set names it.
        expression: What is asked for.
        set: The name under which figures are gathered.
        mask: Run lengths; None where nothing is meant.
        box: The annotated box; None where there is none of its own.
        size: The image's size, where it is known without the mask.
    """

    index: int
    image: str
    expression: str
    set: str
    mask: Rle | None
    box: Box | None = None
    size: Size | None = None

    @classmethod
    def of(cls, asked: ReferringTarget, index: int, image: str, size: Size | None) -> Truth:
        """The truth of a question that a reader yielded; raises `InputError`."""
        mask = None if asked.mask is None else asked.mask.to_rle()
        return cls(index, image, asked.expression, asked.set, mask, asked.box, size)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """An answer from anywhere; `mask` None is an empty one, `cells` are those of its text."""

    mask: Rle | None
    cells: Bool[np.ndarray, "rows cols"] | None = None
    validity: Validity | None = None
    tokens: float | None = None
    passes: float | None = None
    seconds: float | None = None
    score: float | None = None
    format: str | None = None
    text: str | None = None

    @classmethod
    def of(cls, segmentation: Segmentation) -> Answer:
        """What a segmenter answered."""
        stats = segmentation.stats
        return cls(
            mask=mask_to_rle(segmentation.mask) if segmentation.mask.any() else None,
            cells=segmentation.grid.select(segmentation.expression),
            validity=segmentation.validity,
            tokens=stats.tokens,
            passes=stats.passes,
            seconds=stats.seconds,
            score=segmentation.score,
            format=stats.format,
            text=segmentation.text,
        )


def judge(truth: Truth, answer: Answer, *, outline: bool = False) -> Row:
    """Compare an answer with the truth.

    The truth has the cells that are at least half covered, and the best-covered ones where none
    is: something that is there is never without a cell.

    Args:
        truth: The question.
        answer: Its answer.
        outline: Measure boundary F too, which needs pixels and takes milliseconds.

    Raises:
        InputError: The sizes of truth and answer differ, or one is no mask.
    """
    target = None if truth.mask is None else _runs(truth.mask, truth, "the true mask")
    given = None if answer.mask is None else _runs(answer.mask, truth, "the answer")
    size = target.size if target else truth.size or (given.size if given else None)
    if given is not None and given.size != size:
        raise InputError(f"{_named(truth)}: the answer is {given.size} and the image {size}")
    cells, oracle = _on_grid(target, answer.cells)
    boundary = None
    if outline and target is not None:
        masks = [rle_to_mask(rle) if rle else None for rle in (answer.mask, truth.mask)]
        boundary = 0.0 if masks[0] is None or masks[1] is None else boundary_f(masks[0], masks[1])
    return Row(
        index=truth.index,
        image=truth.image,
        expression=truth.expression,
        set=truth.set,
        size=(size.height, size.width) if size else (1, 1),
        pixels=_counted(given, target),
        truth=truth.mask,
        answer=answer.mask,
        cells=cells,
        oracle=oracle,
        box_iou=box_iou(given.box if given else None, truth.box or target.box) if target else None,
        boundary=boundary,
        validity=answer.validity,
        tokens=answer.tokens,
        passes=answer.passes,
        seconds=answer.seconds,
        score=answer.score,
        grid=None if answer.cells is None else "x".join(map(str, answer.cells.shape)),
        format=answer.format,
        text=answer.text,
    )


def _named(truth: Truth) -> str:
    return f"{truth.expression!r} of {truth.image}"


def _runs(rle: Mapping[str, Any], truth: Truth, what: str) -> Runs:
    try:
        return rle_to_runs(rle)
    except InputError as error:
        raise InputError(f"{_named(truth)}: {what} is no mask: {error}") from error


def _counted(given: Runs | None, target: Runs | None) -> Overlap:
    if given is not None and target is not None:
        return rle_overlap(given, target)
    return Overlap(given.area if given else 0, target.area if target else 0, 0)


def _on_grid(
    target: Runs | None, written: Bool[np.ndarray, "rows cols"] | None
) -> tuple[Overlap | None, float | None]:
    """Cells of answer, truth and both, and the oracle IoU of the truth on that grid."""
    if written is None:
        return None, None
    if target is None:
        return Overlap(int(written.sum()), 0, 0), None
    cells = coverage_to_cells(runs_to_coverage([target], GridShape(*written.shape))[0])
    best = rle_overlap(cells_to_runs(cells, target.size), target)
    return overlap(written, cells), best.iou
