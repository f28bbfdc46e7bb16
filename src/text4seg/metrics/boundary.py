"""Boundary F: how well the outline of a mask follows the true one."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError

TOLERANCE = 0.008
"""The distance at which outlines still meet, as a share of the image's diagonal (DAVIS)."""


def boundary_f(
    predicted: Bool[np.ndarray, "h w"],
    target: Bool[np.ndarray, "h w"],
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """Boundary F: 2PR / (P + R), P and R the shares of either outline that lie near the other.

    Near is within a disk of ⌈tolerance × diagonal⌉ pixels. Two masks without an outline agree;
    with one alone the result is 0. Perazzi et al., DAVIS, CVPR 2016, §4, whose matching by
    dilation this is.

    Args:
        predicted: The predicted mask.
        target: The true mask.
        tolerance: The distance at which outlines still meet, as a share of the diagonal.

    Returns:
        A share from 0 to 1.

    Raises:
        InputError: Sizes differ.
    """
    if predicted.shape != target.shape:
        raise InputError(
            f"masks to compare have one size, got {predicted.shape} and {target.shape}"
        )
    ours, theirs = outline(predicted), outline(target)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    radius = math.ceil(tolerance * math.hypot(*predicted.shape))
    precision = float((ours & _dilated(theirs, radius)).sum() / ours.sum())
    recall = float((theirs & _dilated(ours, radius)).sum() / theirs.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that differ from their right, lower or lower right neighbor; the frame has none."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, down, both = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return np.asarray((mask != right) | (mask != down) | (mask != both))


def _dilated(mask: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    """Pixels within a disk of that radius around a set one."""
    height, width = mask.shape
    grown = np.zeros_like(mask)
    for down in range(-min(radius, height - 1), min(radius, height - 1) + 1):
        half = math.isqrt(radius * radius - down * down)
        sums = np.zeros((height, width + 2 * half + 1), dtype=np.int32)
        np.cumsum(np.pad(mask, ((0, 0), (half, half))), axis=1, out=sums[:, 1:])
        wide = sums[:, 2 * half + 1 :] > sums[:, :width]
        above, below = max(down, 0), min(height + down, height)
        grown[above:below] |= wide[above - down : below - down]
    return grown
