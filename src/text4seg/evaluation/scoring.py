"""Compare predictions with the ground truth; masks are compared as run lengths, without pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from text4seg.core.coverage import runs_to_coverage
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.geometry import coverage_to_cells
from text4seg.core.run_lengths import Runs, cells_to_runs, rle_to_mask, rle_to_runs
from text4seg.core.types import GridShape
from text4seg.evaluation.ground_truth import GroundTruth, Rle, index_samples
from text4seg.evaluation.predictions import (
    PredictionMatcher,
    TextReader,
    match_predictions,
    read_mask_files,
    read_prediction_file,
)
from text4seg.evaluation.records import Prediction, ScoreRecord
from text4seg.evaluation.report import EvaluationOptions, Report
from text4seg.metrics import Overlap, boundary_f, box_iou, overlap, rle_overlap

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool

    from text4seg.data import Sample

Missing = Literal["error", "empty", "skip"]
MISSING: tuple[Missing, ...] = get_args(Missing)
"""What becomes of a target without a prediction."""


def score(
    predictions: str | PathLike[str] | Iterable[Mapping[str, Any]],
    dataset: Iterable[Sample],
    *,
    options: EvaluationOptions | None = None,
    text: TextReader | None = None,
    missing: Missing = "error",
    on_record: Callable[[ScoreRecord], None] | None = None,
) -> Report:
    """Score the predictions of any model; no model and no image is needed.

    Args:
        predictions: A JSON Lines file, a folder of mask pictures, or the objects that the lines
            of such a file would hold (see `text4seg.evaluation.predictions`).
        dataset: Images with their referring targets, as `read_dataset` yields them.
        options: The task, and what is measured.
        text: How masks that are given as text are read.
        missing: A target without a prediction is an error, counts as an empty answer (`empty`),
            or is left out (`skip`).
        on_record: Called with every record.

    Returns:
        The report; `run["missing"]` is the number of targets without a prediction.

    Raises:
        InputError: A prediction is wrong or answers no target, or a target has none.
        UnknownNameError: There is no such way to treat missing predictions.
    """
    if missing not in MISSING:
        raise UnknownNameError("way to treat missing predictions", missing, MISSING)
    options = options or EvaluationOptions()
    indexed = list(index_samples(dataset, root=options.root, limit=options.limit))
    truths = [truth for sample in indexed for truth in sample.truths()]
    if not truths:
        raise InputError("the data set holds no question")
    ids = {one.sample.id: one.image for one in indexed if one.sample.id}
    found = _read(predictions, PredictionMatcher(truths, ids), text)
    if missing == "error" and len(found) < len(truths):
        first = next(truth for place, truth in enumerate(truths) if place not in found)
        raise InputError(
            f"{len(truths) - len(found)} of {len(truths)} questions have no prediction, the "
            f"first is {first}: count them as empty answers (missing: empty) or leave them out "
            "(missing: skip)"
        )
    records = []
    for place, truth in enumerate(truths):
        prediction = found.get(place, Prediction(None) if missing == "empty" else None)
        if prediction is None:
            continue
        records.append(score_prediction(truth, prediction, boundary=options.boundary))
        if on_record is not None:
            on_record(records[-1])
    if not records:
        raise InputError("no question has a prediction")
    return Report(records, options, {"missing": len(truths) - len(found)})


def _read(
    predictions: str | PathLike[str] | Iterable[Mapping[str, Any]],
    matcher: PredictionMatcher,
    text: TextReader | None,
) -> dict[int, Prediction]:
    if not isinstance(predictions, str | PathLike):
        numbered = ((f"prediction {at}", one) for at, one in enumerate(predictions))
        return match_predictions(numbered, matcher, text=text)
    path = Path(predictions)
    if path.is_dir():
        return read_mask_files(path, matcher.truths)
    return read_prediction_file(path, matcher, text=text)


def score_prediction(
    truth: GroundTruth, prediction: Prediction, *, boundary: bool = False
) -> ScoreRecord:
    """Compare one prediction with the ground truth.

    The true cells are those that the mask covers at least half, and the best-covered ones where
    it covers none so far: something that is there is never without a cell.

    Args:
        truth: What is right.
        prediction: What was answered.
        boundary: Measure boundary F too, which needs pixels and takes milliseconds.

    Returns:
        The record.

    Raises:
        InputError: The sizes of the two masks differ, or one is no mask.
    """
    target = None if truth.mask is None else _runs(truth.mask, truth, "the true mask")
    given = None if prediction.mask is None else _runs(prediction.mask, truth, "the answer")
    size = target.size if target else truth.size or (given.size if given else None)
    if given is not None and given.size != size:
        raise InputError(f"{truth}: the answer is {given.size} and the image {size}")
    cells, oracle = _score_cells(target, prediction.cells)
    box = box_iou(given.box if given else None, truth.box or target.box) if target else None
    return ScoreRecord(
        truth=truth,
        prediction=replace(prediction, cells=None),
        pixels=_count(given, target),
        cells=cells,
        oracle=oracle,
        box_iou=box,
        boundary=_boundary(prediction.mask, truth.mask) if boundary and target else None,
    )


def _runs(rle: Rle, truth: GroundTruth, what: str) -> Runs:
    try:
        return rle_to_runs(rle)
    except InputError as error:
        raise InputError(f"{truth}: {what} is no mask: {error}") from error


def _count(given: Runs | None, target: Runs | None) -> Overlap:
    if given is not None and target is not None:
        return rle_overlap(given, target)
    return Overlap(given.area if given else 0, target.area if target else 0, 0)


def _boundary(given: Rle | None, target: Rle | None) -> float:
    if given is None or target is None:
        return 0.0
    return boundary_f(rle_to_mask(given), rle_to_mask(target))


def _score_cells(
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
