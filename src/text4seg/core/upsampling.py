"""From cells back to pixels: blocks, interpolated probabilities, and runs joined from row to row.

The grid is stretched over the image. The value of a cell is taken at its center, and that of a
pixel at its own center.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from text4seg.core.errors import UnknownNameError
from text4seg.core.types import Size, centers

Interpolation = Literal["nearest", "bilinear", "bicubic"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic")


def cells_to_mask(cells: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "h w"]:
    """Enlarge cells to pixels: every pixel takes the cell that its center lies in.

    Args:
        cells: A boolean array `rows cols`.
        size: The size of the image.

    Returns:
        A boolean array `h w`.
    """
    rows, cols = np.asarray(cells).shape
    at = np.ix_(centers(size.height, rows), centers(size.width, cols))
    return np.asarray(np.asarray(cells)[at] != 0)


def probability_to_mask(
    probability: Float[np.ndarray, "rows cols"],
    size: Size,
    how: Interpolation = "nearest",
    threshold: float = 0.5,
) -> Bool[np.ndarray, "h w"]:
    """Find the pixels whose interpolated probability is at least `threshold`."""
    return np.asarray(resize_probability(probability, size, how) >= threshold)


def resize_probability(
    probability: Float[np.ndarray, "rows cols"], size: Size, how: Interpolation = "bilinear"
) -> Float32[np.ndarray, "h w"]:
    """Interpolate the probabilities of cells at the centers of pixels.

    Args:
        probability: An array `rows cols`; each value is taken at the center of its cell. Outside
            the outermost centers the outermost values continue.
        size: The size of the image.
        how: `nearest`, `bilinear` or `bicubic` (Keys' kernel with a = -1/2, clipped to 0…1).

    Returns:
        An array `h w`.

    Raises:
        UnknownNameError: There is no such interpolation.
    """
    values = np.asarray(probability, dtype=np.float64)
    if how == "nearest":
        at = np.ix_(centers(size.height, len(values)), centers(size.width, values.shape[1]))
        return np.asarray(values[at], dtype=np.float32)
    if how not in INTERPOLATIONS:
        raise UnknownNameError("interpolation", str(how), INTERPOLATIONS)
    down = _weights(size.height, values.shape[0], how)
    across = _weights(size.width, values.shape[1], how)
    return np.asarray(np.clip(down @ values @ across.T, 0, 1), dtype=np.float32)


def _weights(pixels: int, cells: int, how: Interpolation) -> Float64[np.ndarray, "pixels cells"]:
    """The share of each cell's value in each pixel's."""
    return interpolation_weights((np.arange(pixels) + 0.5) * cells / pixels - 0.5, cells, how)


def interpolation_weights(
    at: Float64[np.ndarray, " places"], count: int, how: Interpolation = "bilinear"
) -> Float64[np.ndarray, "places count"]:
    """Weights that interpolate `count` values, which stand at 0, 1, 2 …, at fractional places.

    `bilinear` or `bicubic`, along one axis; beyond the outermost values they go on.
    """
    base = np.floor(at).astype(np.int64)
    weights = np.zeros((len(at), count))
    for offset in range(-1, 3) if how == "bicubic" else range(2):
        distance = np.abs(at - (base + offset))
        share = _keys(distance) if how == "bicubic" else 1 - distance
        np.add.at(weights, (np.arange(len(at)), np.clip(base + offset, 0, count - 1)), share)
    return weights


def _keys(x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def scanline_mask(cells: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "h w"]:
    """Find the pixels where `scanline_probability` is at least one half.

    In an image smaller than the grid a single cell may fall between the pixels.
    """
    return np.asarray(scanline_probability(cells, size) >= 0.5)


def scanline_probability(
    cells: Bool[np.ndarray, "rows cols"], size: Size
) -> Float32[np.ndarray, "h w"]:
    """Interpolate runs whose ends move straight from the middle of one row to the next.

    Columns of the text are finer than its rows, so the ends of runs are known better than the rows
    where they begin. Along the middle of each row the signed distance to the nearest end of a run
    is taken (shape-based interpolation, Raya and Udupa 1990, one dimension at a time), cut off at
    half the height of a row, and interpolated linearly between rows. The outline is at one half; 0
    and 1 are half a row's height away. The edge of the image is not an end of a run. A run without
    a partner in the next row becomes narrower instead of ending square.
    """
    grid = np.asarray(cells) != 0
    rows, cols = grid.shape
    reach = max(cols / (2 * rows), 0.5)  # half a row's height, in columns
    distance = np.clip(_distance_to_ends(grid, size.width), -reach, reach)
    down = _weights(size.height, rows, "bilinear")
    return np.asarray(np.clip(down @ (0.5 + distance / (2 * reach)), 0, 1), dtype=np.float32)


def _distance_to_ends(
    grid: Bool[np.ndarray, "rows cols"], width: int
) -> Float64[np.ndarray, "rows width"]:
    """For each pixel along the middle of a row, the distance in columns to the nearest end of a
    run in that row: positive inside, negative outside, infinite in a row without ends.
    """
    rows, cols = grid.shape
    place = np.arange(1, cols)
    ends = grid[:, 1:] != grid[:, :-1]
    before = np.full((rows, cols), -np.inf)
    before[:, 1:] = np.maximum.accumulate(np.where(ends, place, -np.inf), axis=1)
    after = np.full((rows, cols), np.inf)
    after[:, :-1] = np.minimum.accumulate(np.where(ends, place, np.inf)[:, ::-1], axis=1)[:, ::-1]
    cell = centers(width, cols)
    at = (np.arange(width) + 0.5) * cols / width
    nearest = np.minimum(at - before[:, cell], after[:, cell] - at)
    return np.asarray(np.where(grid[:, cell], nearest, -nearest))
