"""A smooth field over the image whose level set at one half is the outline of the cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from text4seg.core.geometry import interpolation_weights

_STEPS = 16
_RATE = 0.7
_STEEPNESS = 8.0
_SUBCELLS = 4
_BINARY = 0.02
"""Up to this softness a grid counts as yes or no."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Values at the centers of the cells, interpolated bicubically between them."""

    values: Float64[np.ndarray, "rows cols"]

    def at(
        self, ys: Float64[np.ndarray, " h"], xs: Float64[np.ndarray, " w"]
    ) -> Float64[np.ndarray, "h w"]:
        """Evaluate the field on a raster.

        Args:
            ys: Places from 0 (top) to 1 (bottom) of the image.
            xs: Places from 0 (left) to 1 (right).

        Returns:
            The values, bicubically interpolated.
        """
        rows, cols = self.values.shape
        down = interpolation_weights(ys * rows - 0.5, rows, "bicubic")
        across = interpolation_weights(xs * cols - 0.5, cols, "bicubic")
        return np.asarray(down @ self.values @ across.T)


def outline_field(probability: Float[np.ndarray, "rows cols"]) -> Field:
    """Get the field of a grid: covering where it reads as coverage, else interpolated.

    With only zeros and ones a covering outline would reproduce the blocks.
    """
    if softness(probability) > _BINARY:
        return covering_field(clamp_off_outline(probability))
    return Field(np.asarray(probability, dtype=np.float64))


def covering_field(probability: Float[np.ndarray, "rows cols"]) -> Field:
    """Get the field that is above one half on a share of each cell equal to its probability.

    Interpolating the shares themselves blurs: the level one half then cuts corners and loses thin
    parts. Instead the values are corrected iteratively until the *thresholded* field covers each
    cell by its share, as free surfaces are reconstructed from volume fractions in fluid dynamics
    (volume of fluid). Shares of only 0 and 1 give blocks with rounded corners.
    """
    wanted = np.asarray(probability, dtype=np.float64)
    down, across = (_between_centers(n, _SUBCELLS) for n in wanted.shape)
    return Field(wanted + shift_to_cover(down @ wanted @ across.T, wanted, wanted))


def softness(probability: Float[np.ndarray, "rows cols"]) -> float:
    """Measure how soft the cells on both sides of the outline are.

    It tells coverage from confidence. Where probabilities are coverage, the outline passes through
    those cells and many are soft (0.17 and more for 95 of 100 COCO objects); the few uncertain
    cells of a confident model are not shares.

    Returns:
        The mean of 1 - |2p - 1| over the cells at the outline: 0 for yes or no, at most 1.
    """
    doubt = 1 - np.abs(2 * np.asarray(probability, dtype=np.float64) - 1)
    border = at_outline(probability)
    return float(doubt[border].mean()) if border.any() else 0.0


def at_outline(probability: Float[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "rows cols"]:
    """Mark the cells with one of their eight neighbors on the other side of one half."""
    inside = probability >= 0.5
    near_inside, near_outside = _with_neighbors(inside), _with_neighbors(~inside)
    return np.asarray(near_inside & near_outside)


def clamp_off_outline(
    probability: Float[np.ndarray, "rows cols"],
) -> Float32[np.ndarray, "rows cols"]:
    """Keep probabilities at the outline; set 0 or 1 elsewhere.

    Far from the outline an uncertain cell is not partly covered: it would make islands and holes.
    """
    clamped = np.where(at_outline(probability), probability, probability >= 0.5)
    return np.asarray(clamped, dtype=np.float32)


def _with_neighbors(cells: Bool[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "rows cols"]:
    """Dilate by one cell in all eight directions."""
    padded = np.pad(cells, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.asarray(windows.any(axis=(2, 3)))


def shift_to_cover(
    field: Float64[np.ndarray, "h w"],
    least: Float64[np.ndarray, "rows cols"],
    most: Float64[np.ndarray, "rows cols"],
) -> Float64[np.ndarray, "rows cols"]:
    """Find what to add to a field so that, cut at one half, it covers each cell by given shares.

    Args:
        field: The field, with the same whole number of samples a cell along both axes.
        least: The smallest share of each cell, 0 to 1.
        most: The largest share of each cell.

    Returns:
        Values at the centers of the cells, to be interpolated bicubically between them.
    """
    rows, cols = least.shape
    subcells = len(field) // rows
    down, across = (_between_centers(n, subcells) for n in (rows, cols))
    values = np.zeros((rows, cols))
    for _ in range(_STEPS):
        cut = np.clip((field + down @ values @ across.T - 0.5) * _STEEPNESS + 0.5, 0, 1)
        covered = cut.reshape(rows, subcells, cols, subcells).mean(axis=(1, 3))
        values += _RATE * (np.clip(covered, least, most) - covered)
    return values


def _between_centers(cells: int, subcells: int) -> Float64[np.ndarray, "samples cells"]:
    """Bicubic weights from cell centers to samples within the cells, along one axis."""
    places = (np.arange(cells * subcells) + 0.5) / subcells - 0.5
    return interpolation_weights(places, cells, "bicubic")
