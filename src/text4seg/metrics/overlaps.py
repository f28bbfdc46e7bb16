"""Pixels of a prediction, of the truth, and of both: what every figure of masks is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError
from text4seg.core.run_lengths import Runs, rle_to_runs


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

    def emptied(self, below: int) -> Overlap:
        """The same where a prediction of fewer pixels than `below` counts as empty."""
        return self if self.predicted >= below else Overlap(0, self.target, 0)


Pair: TypeAlias = Overlap | tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]
"""A sample: (predicted, target) masks, or the pixels counted from them."""


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


def rle_overlap(predicted: Mapping[str, Any] | Runs, target: Mapping[str, Any] | Runs) -> Overlap:
    """Count the pixels of two masks given as COCO run lengths, without making pixels of them.

    Raises:
        InputError: One is no mask, or their sizes differ.
    """
    first, second = (
        mask if isinstance(mask, Runs) else rle_to_runs(mask) for mask in (predicted, target)
    )
    return Overlap(first.area, second.area, first.overlap(second))


def iou(predicted: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    return overlap(predicted, target).iou
