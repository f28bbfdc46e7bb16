"""Coverage without pixels: from COCO run lengths and polygons straight to the cells of a grid.

A mask is a set of rectangles one pixel wide (its runs; COCO counts column by column) and of blocks
of whole columns. The area of a rectangle in every cell is a sum over its four corners of the area
of the quadrant above and left of the corner, and a quadrant's area falls apart into a factor for
the rows and one for the columns. Each factor is w, …, w, r, 0, …, 0 along its axis, so two numbers
tell its differences. All corners of all masks are therefore added up in one histogram, which is
summed along both axes at the end: time goes with the number of runs, memory with runs and cells,
and the image is never there. The sums are integers, so the result is that of
`mask_to_coverage`, to the last bit.

A polygon means the pixels that pycocotools draws for it, which is what COCO's own masks are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.rle import Runs, rles_to_runs
from text4seg.core.types import GridShape, Size
from text4seg.core.upsampling import centers

_AT_ONCE = 24
"""Masks whose corners are added up in one turn: few enough to stay in the processor's cache."""


def rles_to_coverage(
    rles: Sequence[Mapping[str, Any]], shape: GridShape
) -> Float32[np.ndarray, "masks rows cols"]:
    """The exact share of each cell under each mask, for COCO run lengths of any sizes.

    About 30 µs a mask of 480 x 640 in a batch. Raises `InputError` where they describe no mask.
    """
    return runs_to_coverage(rles_to_runs(rles), shape)


def polygons_to_coverage(
    outlines: Sequence[tuple[Sequence[Sequence[float]], Size]], shape: GridShape
) -> Float32[np.ndarray, "masks rows cols"]:
    """The same for COCO polygons, given as (polygons of one mask, size of its image).

    Raises `InputError` for a list that is no polygon, `MissingExtraError` without pycocotools.
    """
    return rles_to_coverage([polygons_to_rle(*outline) for outline in outlines], shape)


def polygons_to_rle(polygons: Sequence[Sequence[float]], size: Size) -> dict[str, Any]:
    """COCO polygons (flat lists x, y, x, y, … in pixels) as the run lengths of their union.

    Drawn by pycocotools, in time proportional to their length. Raises `InputError` for a list that
    is no polygon, `MissingExtraError` without pycocotools.
    """
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise MissingExtraError("pycocotools", "data") from None
    lists = [_checked(at, polygon) for at, polygon in enumerate(polygons)]
    if not lists:
        lists = [[0.0] * 6]  # of no area
    drawn = coco.frPyObjects(lists, size.height, size.width)
    rle: dict[str, Any] = drawn[0] if len(drawn) == 1 else coco.merge(drawn)
    return rle


def _checked(at: int, polygon: Sequence[float]) -> list[float]:
    try:
        numbers = list(map(float, polygon))
    except (TypeError, ValueError, OverflowError):
        numbers = []
    total = sum(numbers)
    if len(numbers) < 6 or len(numbers) % 2 or total - total != 0:
        raise InputError(
            f"polygon {at} is not a list x, y, x, y, … of three points or more: "
            f"{len(polygon) if isinstance(polygon, Sequence) else polygon!r} numbers"
        )
    return numbers


def runs_to_coverage(
    masks: Sequence[Runs], shape: GridShape
) -> Float32[np.ndarray, "masks rows cols"]:
    """The exact share of each cell under each mask; see the head of this file for how."""
    turns = range(0, len(masks), _AT_ONCE)
    parts = [_coverage(masks[at : at + _AT_ONCE], shape) for at in turns]
    nothing = np.zeros((0, shape.rows, shape.cols), dtype=np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate([nothing, *parts])


def _coverage(masks: Sequence[Runs], shape: GridShape) -> Float32[np.ndarray, "masks rows cols"]:
    heights = np.array([mask.size.height for mask in masks], dtype=np.int64)
    widths = np.array([mask.size.width for mask in masks], dtype=np.int64)
    owner, box = _rectangles(masks, heights)
    rows, row_weights = _axis(box[:, [1, 3]], shape.rows, heights[owner])
    cols, col_weights = _axis(box[:, [0, 2]], shape.cols, widths[owner])
    down, across = shape.rows + 2, shape.cols + 2
    bins = ((owner[:, None] * down + rows) * across)[:, :, None] + cols[:, None, :]
    weights = row_weights[:, :, None] * col_weights[:, None, :]
    total = len(masks) * down * across
    sums = np.bincount(bins.ravel(), weights.ravel(), minlength=total)
    areas = sums.reshape(len(masks), down, across)[:, ::-1, ::-1].cumsum(axis=1).cumsum(axis=2)
    cells = areas[:, ::-1, ::-1][:, 1:-1, 1:-1]
    return np.asarray(cells / (heights * widths)[:, None, None], dtype=np.float32)


def _rectangles(
    masks: Sequence[Runs], heights: Int64[np.ndarray, " masks"]
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, "n xyxy"]]:
    """Every run as one to three rectangles, and the number of its mask."""
    owner = np.repeat(np.arange(len(masks)), [len(mask.starts) for mask in masks])
    nothing = np.zeros(0, dtype=np.int64)
    starts = np.concatenate([nothing, *(mask.starts for mask in masks)])
    ends = np.concatenate([nothing, *(mask.ends for mask in masks)])
    height = heights[owner]
    left, right = starts // height, (ends - 1) // height
    top, bottom = starts - left * height, ends - right * height
    first = np.stack([left, top, left + 1, np.where(left == right, bottom, height)], axis=1)
    turning = np.flatnonzero(left != right)
    if len(turning) == 0:
        return owner, first
    left, right, height = left[turning], right[turning], height[turning]
    zero = np.zeros_like(left)
    block = np.stack([left + 1, zero, right, height], axis=1)  # perhaps without a column
    last = np.stack([right, zero, right + 1, bottom[turning]], axis=1)
    return np.concatenate([owner, owner[turning], owner[turning]]), np.concatenate(
        [first, block, last]
    )


def _axis(
    edges: Int64[np.ndarray, "n 2"], count: int, length: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, "n 4"], Float64[np.ndarray, "n 4"]]:
    """The differences that two edges, begin and end, make along an axis of `count` cells.

    In units in which a cell is `length` long: what lies before an edge fills the cells before its
    own, and its own by a rest. Bin k + 1 belongs to cell k.
    """
    scaled = edges * count
    cell = scaled // length[:, None]
    rest = scaled - cell * length[:, None]
    bins = np.concatenate([cell + 1, cell], axis=1)
    weights = np.concatenate([rest, length[:, None] - rest], axis=1).astype(np.float64)
    weights[:, 0::2] *= -1.0
    return bins, weights


def runs_to_center_cells(
    masks: Sequence[Runs], shape: GridShape
) -> Bool[np.ndarray, "masks rows cols"]:
    """The rule `center` without pixels: whether the pixel in the middle of each cell is set."""
    found = np.zeros((len(masks), shape.rows, shape.cols), dtype=np.bool_)
    for mask, cells in zip(masks, found, strict=True):
        height, width = mask.size.height, mask.size.width
        place = centers(shape.cols, width) * height + centers(shape.rows, height)[:, None]
        begun = np.searchsorted(mask.starts, place, side="right")
        cells[:] = begun > np.searchsorted(mask.ends, place, side="right")
    return found


def coverages_to_cells(
    coverages: Float[np.ndarray, "masks rows cols"], threshold: float = 0.5
) -> Bool[np.ndarray, "masks rows cols"]:
    """`coverage_to_cells` for many masks at once, none of which is lost."""
    if not 0 < threshold <= 1:
        raise InputError(f"a threshold is above 0 and at most 1, got {threshold}")
    cells = np.asarray(coverages >= threshold)
    lost = np.flatnonzero(~cells.any(axis=(1, 2)))
    if len(lost):
        best = coverages[lost].max(axis=(1, 2), keepdims=True)
        cells[lost] = (coverages[lost] == best) & (best > 0)
    return cells


__all__ = [
    "coverages_to_cells",
    "polygons_to_coverage",
    "polygons_to_rle",
    "rles_to_coverage",
    "runs_to_center_cells",
    "runs_to_coverage",
]
