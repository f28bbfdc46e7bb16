"""Coverage without pixels: from COCO run lengths and polygons directly to the cells of a grid.

A mask is a set of rectangles one pixel wide (its runs; COCO counts column by column) and, where a
run continues in the next column, of blocks of whole columns. The area of a rectangle in a cell is
the product of a factor for the rows and one for the columns. Along an axis, an edge covers the
cells before its own completely and its own partly: 1, …, 1, r, 0, …, 0. Two numbers describe the
differences of that sequence. All edges of all masks are therefore added up in one histogram, which
is summed along the axis at the end. Time is proportional to the number of runs, memory to runs and
cells; the image is never drawn. The sums are integers, so the result equals that of
`mask_to_coverage` to the last bit.

A polygon means the pixels that pycocotools draws for it, as in COCO's own masks; `core.polygons`
finds their runs for a whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from text4seg.core.errors import InputError, MissingExtraError, UnknownNameError
from text4seg.core.polygons import Outline, check_polygons, polygons_to_runs
from text4seg.core.run_lengths import Runs, rles_to_runs
from text4seg.core.types import GridShape, Size, centers

Rule = Literal["coverage", "iou", "center"]
"""How a mask becomes cells: those at least half covered, those that together fit it best, or those
whose middle pixel is set, as in Text4Seg."""

RULES: tuple[Rule, ...] = ("coverage", "iou", "center")


def get_rule(name: str) -> Rule:
    """Get the rule of this name.

    Raises:
        UnknownNameError: There is none.
    """
    for rule in RULES:
        if rule == name:
            return rule
    raise UnknownNameError("rule", name, RULES)


_AT_ONCE = 48
"""Masks whose edges are added up in one turn: enough to share the cost of a call, few enough to
stay in the processor's cache."""


def rles_to_coverage(
    rles: Sequence[Mapping[str, Any]], shape: GridShape
) -> Float32[np.ndarray, "masks rows cols"]:
    """Compute how much of each cell each mask covers, from COCO run lengths.

    Takes about 15 µs for a mask of 480 x 640 in a batch.

    Args:
        rles: Run lengths of any sizes.
        shape: Rows and columns of the grid over each mask.

    Returns:
        For each mask the exact share of each cell, from 0 to 1.

    Raises:
        InputError: Some run lengths describe no mask.
    """
    return runs_to_coverage(rles_to_runs(rles), shape)


def polygons_to_coverage(
    outlines: Sequence[Outline], shape: GridShape
) -> Float32[np.ndarray, "masks rows cols"]:
    """Compute the same from COCO polygons.

    Takes about 25 µs for a mask of 480 x 640 in a batch.

    Args:
        outlines: The polygons of each mask with the size of its image.
        shape: Rows and columns of the grid over each mask.

    Returns:
        For each mask the exact share of each cell, from 0 to 1.

    Raises:
        InputError: A list is no polygon.
    """
    return runs_to_coverage(polygons_to_runs(outlines), shape)


def polygons_to_rle(polygons: Sequence[Sequence[float]], size: Size) -> dict[str, Any]:
    """Write the union of COCO polygons as run lengths, as pycocotools draws it.

    Args:
        polygons: Flat lists x, y, x, y, … in pixels.
        size: The size of the image.

    Returns:
        `{"size": [height, width], "counts": …}`.

    Raises:
        InputError: A list is no polygon.
        MissingExtraError: pycocotools is not installed.
    """
    return polygons_to_rles([(polygons, size)])[0]


def polygons_to_rles(outlines: Sequence[Outline]) -> list[dict[str, Any]]:
    """Write many masks as run lengths; those of images of one size take one call.

    Args:
        outlines: The polygons of each mask with the size of its image.

    Returns:
        Run lengths of each mask; errors are those of `polygons_to_rle`.
    """
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise MissingExtraError("pycocotools", "data") from None
    of_size: dict[Size, list[int]] = {}
    for at, (_, size) in enumerate(outlines):
        of_size.setdefault(size, []).append(at)
    found: dict[int, dict[str, Any]] = {}
    for size, places in of_size.items():
        # Of no polygon, one without an area.
        lists = [check_polygons(outlines[at][0]) or [[0.0] * 6] for at in places]
        drawn = coco.frPyObjects([one for part in lists for one in part], size.height, size.width)
        end = 0
        for at, part in zip(places, lists, strict=True):
            begin, end = end, end + len(part)
            found[at] = drawn[begin] if len(part) == 1 else coco.merge(drawn[begin:end])
    return [found[at] for at in range(len(outlines))]


def runs_to_coverage(
    masks: Sequence[Runs], shape: GridShape
) -> Float32[np.ndarray, "masks rows cols"]:
    """Compute how much of each cell each mask covers; the module's docstring explains how."""
    found = np.empty((len(masks), shape.rows, shape.cols), dtype=np.float32)
    for at in range(0, len(masks), _AT_ONCE):
        _coverage(masks[at : at + _AT_ONCE], shape, found[at : at + _AT_ONCE])
    return found


def _coverage(
    masks: Sequence[Runs], shape: GridShape, out: Float32[np.ndarray, "masks rows cols"]
) -> None:
    heights = np.array([mask.size.height for mask in masks], dtype=np.int64)
    widths = np.array([mask.size.width for mask in masks], dtype=np.int64)
    owner = np.repeat(np.arange(len(masks)), [len(mask.starts) for mask in masks])
    starts = np.concatenate([mask.starts for mask in masks])
    height = heights[owner]
    left = starts // height
    top = starts - left * height
    bottom = np.concatenate([mask.ends for mask in masks]) - left * height
    turning = np.flatnonzero(bottom > height)
    ends = bottom[turning]
    bottom[turning] = height[turning]
    # Cells narrower than a pixel would each get a part of it: that is for blocks.
    narrow = int(widths.min()) < shape.cols
    sides = heights, widths
    if narrow:
        areas = _blocks(np.stack([left, top, left + 1, bottom], axis=1), owner, sides, shape)
    else:
        areas = _columns((left, top, bottom), owner, sides, shape)
    if len(turning):
        boxes = _beyond(left[turning], ends, height[turning])
        areas = areas + _blocks(boxes, np.tile(owner[turning], 2), sides, shape)
    # Rounded once, from double precision, and without a second array of that size.
    pixels = (heights * widths)[:, None, None]
    np.divide(areas, pixels, out=out, dtype=np.float64, casting="same_kind")


_Sides = tuple[Int64[np.ndarray, " masks"], Int64[np.ndarray, " masks"]]


def _columns(
    runs: tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]],
    owner: Int64[np.ndarray, " n"],
    sides: _Sides,
    shape: GridShape,
) -> Float64[np.ndarray, "masks rows cols"]:
    """The areas of runs (column, top, bottom) one pixel wide, in units of a pixel's share of cells.

    No cell is narrower than a pixel.
    """
    left, top, bottom = runs
    heights, widths = sides
    rows, weights = _axis((top, bottom), shape.rows, heights[owner])
    width = widths[owner]
    cell = left * shape.cols // width
    inside = np.minimum(shape.cols, (cell + 1) * width - left * shape.cols)
    # Row after row over all masks, so that the sums from below run along whole stretches of memory.
    count, across = len(heights), shape.cols + 1
    bins = rows * (count * across) + (owner * across + cell)
    total = (shape.rows + 2) * count * across
    sums = np.bincount(bins.ravel(), (weights * inside).ravel(), minlength=total)
    split = np.flatnonzero(inside < shape.cols)  # the rest lies in the next cell
    if len(split):
        rest = weights[:, split] * (shape.cols - inside[split])
        np.add.at(sums, bins[:, split].ravel() + 1, rest.ravel())
    areas = sums.reshape(shape.rows + 2, count, across)
    for row in range(shape.rows, 0, -1):
        areas[row] += areas[row + 1]
    return np.asarray(areas[1:-1, :, :-1].transpose(1, 0, 2), dtype=np.float64)


def _blocks(
    boxes: Int64[np.ndarray, "n xyxy"],
    owner: Int64[np.ndarray, " n"],
    sides: _Sides,
    shape: GridShape,
) -> Float64[np.ndarray, "masks rows cols"]:
    """The areas of any rectangles in the same units, by differences along both axes."""
    heights, widths = sides
    rows, row_weights = _axis((boxes[:, 1], boxes[:, 3]), shape.rows, heights[owner])
    cols, col_weights = _axis((boxes[:, 0], boxes[:, 2]), shape.cols, widths[owner])
    down, across = shape.rows + 2, shape.cols + 2
    bins = (rows * across + owner * (down * across))[:, None] + cols
    weights = row_weights[:, None] * col_weights
    total = len(heights) * down * across
    sums = np.bincount(bins.ravel(), weights.ravel(), minlength=total)
    differences = sums.reshape(len(heights), down, across)
    areas = differences[:, ::-1, ::-1].cumsum(axis=1).cumsum(axis=2)
    return np.asarray(areas[:, ::-1, ::-1][:, 1:-1, 1:-1], dtype=np.float64)


def _beyond(
    left: Int64[np.ndarray, " n"], ends: Int64[np.ndarray, " n"], height: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, "m xyxy"]:
    """What runs that begin in column `left` cover after it: whole columns, then the last one."""
    last = left + (ends - 1) // height
    zero = np.zeros_like(left)
    block = np.stack([left + 1, zero, last, height], axis=1)  # perhaps without a column
    rest = np.stack([last, zero, last + 1, ends - (last - left) * height], axis=1)
    return np.concatenate([block, rest])


def _axis(
    edges: tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]],
    count: int,
    length: Int64[np.ndarray, " n"],
) -> tuple[Int64[np.ndarray, "4 n"], Float64[np.ndarray, "4 n"]]:
    """The differences that two edges, begin and end, make along an axis of `count` cells.

    In units in which a cell is `length` long: what lies before an edge fills the cells before its
    own, and its own by a rest. Bin k + 1 belongs to cell k.
    """
    scaled = np.stack(edges) * count
    cell = scaled // length
    bins = np.concatenate([cell, cell + 1])
    weights = np.empty(bins.shape)
    np.subtract(scaled, cell * length, out=weights[2:])
    np.subtract(length, weights[2:], out=weights[:2])
    np.negative(weights[0::2], out=weights[0::2])
    return bins, weights


def runs_to_center_cells(
    masks: Sequence[Runs], shape: GridShape
) -> Bool[np.ndarray, "masks rows cols"]:
    """Apply the rule `center` without pixels: is the pixel in the middle of each cell set?"""
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
    """Apply `coverage_to_cells` to many masks at once; no mask is lost."""
    if not 0 < threshold <= 1:
        raise InputError(f"a threshold is above 0 and at most 1, got {threshold}")
    cells = np.asarray(coverages >= threshold)
    lost = np.flatnonzero(~cells.any(axis=(1, 2)))
    if len(lost):
        best = coverages[lost].max(axis=(1, 2), keepdims=True)
        cells[lost] = (coverages[lost] == best) & (best > 0)
    return cells


def coverages_to_best_cells(
    coverages: Float[np.ndarray, "masks rows cols"],
) -> Bool[np.ndarray, "masks rows cols"]:
    """Find the cells that, as blocks of pixels, have the greatest IoU with each mask.

    A cell of coverage c adds c to the intersection and 1 - c to the union, so it raises an IoU of J
    if c > J / (1 + J). The best cells are therefore the best-covered ones, and every possible
    number of them is tried. For a mask that the grid fits well the threshold is near one half, for
    a small mask lower. No mask is lost.
    """
    cells = coverages.shape[1] * coverages.shape[2]
    shares = coverages.reshape(-1, cells).astype(np.float64)
    ranked = -np.sort(-shares, axis=1)
    inside = np.cumsum(ranked, axis=1)
    joined = inside[:, -1:] + np.arange(1, cells + 1) - inside
    last = np.argmax(inside / joined, axis=1)[:, None]
    least = np.take_along_axis(ranked, last, axis=1)
    return np.asarray((shares >= least) & (shares > 0)).reshape(coverages.shape)


def rles_to_cells(
    rles: Sequence[Mapping[str, Any]], shape: GridShape, rule: Rule = "coverage"
) -> Bool[np.ndarray, "masks rows cols"]:
    """Turn COCO run lengths of any sizes into cells by any rule.

    Raises:
        InputError: Some run lengths describe no mask.
        UnknownNameError: There is no such rule.
    """
    return _runs_to_cells(rles_to_runs(rles), shape, rule)


def polygons_to_cells(
    outlines: Sequence[Outline], shape: GridShape, rule: Rule = "coverage"
) -> Bool[np.ndarray, "masks rows cols"]:
    """Turn COCO polygons, each mask's with the size of its image, into cells by any rule."""
    return _runs_to_cells(polygons_to_runs(outlines), shape, rule)


def _runs_to_cells(
    runs: Sequence[Runs], shape: GridShape, rule: Rule
) -> Bool[np.ndarray, "masks rows cols"]:
    if get_rule(rule) == "center":
        return runs_to_center_cells(runs, shape)
    coverages = runs_to_coverage(runs, shape)
    return (coverages_to_best_cells if rule == "iou" else coverages_to_cells)(coverages)


__all__ = [
    "RULES",
    "Rule",
    "coverages_to_best_cells",
    "coverages_to_cells",
    "get_rule",
    "polygons_to_cells",
    "polygons_to_coverage",
    "polygons_to_rle",
    "polygons_to_rles",
    "rles_to_cells",
    "rles_to_coverage",
    "runs_to_center_cells",
    "runs_to_coverage",
]
