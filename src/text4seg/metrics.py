"""How masks and boxes are scored; numpy only.

Every figure takes samples one after the other, as pairs of masks (predicted, target) or as the
`Overlap` counted from them, which is small enough to keep. Results are shares from 0 to 1; a
figure over no samples is `nan`. `empty_below` is the number of pixels below which a prediction
counts as empty: 1 is what the words say, 50 is what gRefCOCO's own evaluation does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError
from text4seg.core.types import Box

GREFCOCO_EMPTY_BELOW = 50
"""Pixels below which gRefCOCO's evaluation calls a prediction empty."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels of one sample: of the prediction, of the target, and of both at once."""

    predicted: int
    target: int
    both: int

    @property
    def union(self) -> int:
        """Pixels of either."""
        return self.predicted + self.target - self.both

    @property
    def iou(self) -> float:
        """Intersection over union; two empty masks agree, so 1."""
        return self.both / self.union if self.union else 1.0


Pair: TypeAlias = Overlap | tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]


def overlap(predicted: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"]) -> Overlap:
    """Count the pixels of two masks of one size; raises `InputError` where sizes differ."""
    first, second = np.asarray(predicted) != 0, np.asarray(target) != 0
    if first.shape != second.shape:
        raise InputError(f"masks to compare have one size, got {first.shape} and {second.shape}")
    return Overlap(
        int(np.count_nonzero(first)),
        int(np.count_nonzero(second)),
        int(np.count_nonzero(first & second)),
    )


def iou(predicted: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    return overlap(predicted, target).iou


def mean_iou(pairs: Iterable[Pair]) -> float:
    """The mean over samples of their IoU."""
    return _mean(sample.iou for sample in _counted(pairs))


def ciou(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """Cumulative IoU: all intersections over all unions, so large objects weigh more."""
    both = union = 0
    for sample in _counted(pairs, empty_below):
        both += sample.both
        union += sample.union
    return both / union if union else float("nan")


def giou(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """Generalised IoU: the mean over samples, where an absent target scores 1 if nothing was
    predicted and 0 otherwise.
    """
    return _mean(sample.iou for sample in _counted(pairs, empty_below))


def n_acc(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """The share of samples without a target that were answered empty."""
    samples = _counted(pairs, empty_below)
    return _mean(sample.predicted == 0 for sample in samples if sample.target == 0)


def t_acc(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """The share of samples with a target that were not answered empty."""
    samples = _counted(pairs, empty_below)
    return _mean(sample.predicted > 0 for sample in samples if sample.target > 0)


def precision_at(pairs: Iterable[Pair], threshold: float) -> float:
    """Pr@X: the share of samples whose IoU is at least `threshold`."""
    return _mean(sample.iou >= threshold for sample in _counted(pairs))


def box_iou(predicted: Box | None, target: Box | None) -> float:
    """Intersection over union of two boxes; None is no box, and two of them agree."""
    if predicted is None or target is None:
        return float(predicted is target)
    width = min(predicted.x1, target.x1) - max(predicted.x0, target.x0)
    height = min(predicted.y1, target.y1) - max(predicted.y0, target.y0)
    both = max(width, 0) * max(height, 0)
    union = predicted.area + target.area - both
    return both / union if union else 0.0


def box_acc(pairs: Iterable[tuple[Box | None, Box | None]], threshold: float = 0.5) -> float:
    """REC accuracy: the share of (predicted, target) boxes whose IoU is at least `threshold`."""
    return _mean(box_iou(predicted, target) >= threshold for predicted, target in pairs)


def _counted(pairs: Iterable[Pair], empty_below: int = 1) -> Iterable[Overlap]:
    for pair in pairs:
        sample = pair if isinstance(pair, Overlap) else overlap(*pair)
        yield sample if sample.predicted >= empty_below else Overlap(0, sample.target, 0)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else float("nan")
