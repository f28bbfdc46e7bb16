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
    """Pixels of one sample.

    Attributes:
        predicted: Pixels of the prediction.
        target: Pixels of the target.
        both: Pixels of both at once.
    """

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
        """Count small predictions as empty.

        Args:
            below: A prediction of fewer pixels is empty.

        Returns:
            The same, or one without predicted pixels.
        """
        return self if self.predicted >= below else Overlap(0, self.target, 0)


Pair: TypeAlias = Overlap | tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]
"""A sample: (predicted, target) masks, or the pixels counted from them."""


def overlap(predicted: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"]) -> Overlap:
    """Count the pixels of two masks.

    Args:
        predicted: The predicted mask.
        target: The true mask.

    Returns:
        Pixels of either and of both.

    Raises:
        InputError: The sizes differ.
    """
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

    Args:
        predicted: The predicted mask as COCO run lengths or as `Runs`.
        target: The true mask, likewise.

    Returns:
        Pixels of either and of both.

    Raises:
        InputError: One is no mask, or their sizes differ.
    """
    first, second = (
        mask if isinstance(mask, Runs) else rle_to_runs(mask) for mask in (predicted, target)
    )
    return Overlap(first.area, second.area, first.overlap(second))


def iou(predicted: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"]) -> float:
    """IoU = |P ∩ T| / |P ∪ T| of two masks.

    Args:
        predicted: The predicted mask.
        target: The true mask.

    Returns:
        A share from 0 to 1; 1 where both are empty.

    Raises:
        InputError: The sizes differ.
    """
    return overlap(predicted, target).iou
