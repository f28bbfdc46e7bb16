"""Conversions between pixels and cells.

The grid is stretched over the image: of R rows and C columns, cell (r, c) covers the image from
r/R to (r+1)/R of its height and from c/C to (c+1)/C of its width. Edges are kept as integer
fractions, so results are exact unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from text4seg.core.coverage import RULES, Rule, coverages_to_best_cells, polygons_to_rle
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import (
    OTHERS,
    Box,
    DescriptorGrid,
    GridShape,
    Size,
    centers,
    check_label,
)
from text4seg.core.upsampling import (
    INTERPOLATIONS,
    Interpolation,
    cells_to_mask,
    interpolation_weights,
    probability_to_mask,
    resize_probability,
    scanline_mask,
    scanline_probability,
)

Overlap = Literal["smallest", "first", "error"]

OVERLAPS: tuple[Overlap, ...] = ("smallest", "first", "error")


def mask_to_coverage(
    mask: Bool[np.ndarray, "h w"], shape: GridShape
) -> Float32[np.ndarray, "rows cols"]:
    """Compute how much of each cell a mask covers. Cells may be smaller than pixels.

    Args:
        mask: A boolean array `h w` of any size.
        shape: Rows and columns of the grid over the mask.

    Returns:
        The exact share of each cell, from 0 to 1: areas are integers until one last division.

    Raises:
        InputError: The mask is not a boolean array of two dimensions.
    """
    checked = _check_mask(mask)
    height, width = checked.shape
    # All numbers are integers: up to `height` in the first product, which float32 holds exactly
    # below 2**24, and up to `pixels` in the second.
    by_rows = _overlaps(shape.rows, height).astype(np.float32) @ checked.astype(np.float32)
    areas = by_rows.astype(np.float64) @ _overlaps(shape.cols, width).T
    return np.asarray(areas / checked.size, dtype=np.float32)


def _overlaps(count: int, length: int) -> Float64[np.ndarray, "count length"]:
    """How much of each of `length` pixels lies in each of `count` equal cells, times `count`."""
    pixels = np.arange(length, dtype=np.int64) * count
    cells = np.arange(count, dtype=np.int64)[:, None] * length
    overlap = np.minimum(cells + length, pixels + count) - np.maximum(cells, pixels)
    return np.asarray(np.maximum(overlap, 0), dtype=np.float64)


def coverage_to_cells(
    coverage: Float[np.ndarray, "rows cols"],
    rule: Rule = "coverage",
    *,
    threshold: float = 0.5,
    keep_nonempty: bool = True,
) -> Bool[np.ndarray, "rows cols"]:
    """Choose the cells of a mask from how much of each it covers.

    Args:
        coverage: The share of each cell, from 0 to 1.
        rule: `coverage` takes cells of at least `threshold`. `iou` takes the cells whose blocks
            have the greatest IoU with the mask, without the other two arguments. `center` needs the
            mask itself and is refused: see `mask_to_grid`.
        threshold: Above 0 and at most 1.
        keep_nonempty: Whether a mask below the threshold everywhere keeps its best-covered cells,
            so that a small thing never vanishes.

    Returns:
        A boolean array `rows cols`.

    Raises:
        InputError: The threshold is out of range.
        UnknownNameError: There is no such rule, or it is `center`.
    """
    if rule == "iou":
        return np.asarray(coverages_to_best_cells(coverage[None])[0])
    if rule != "coverage":
        raise UnknownNameError("rule for coverage", str(rule), ("coverage", "iou"))
    if not 0 < threshold <= 1:
        raise InputError(f"a threshold is above 0 and at most 1, got {threshold}")
    cells = np.asarray(coverage >= threshold)
    best = coverage.max(initial=0)
    if keep_nonempty and best > 0 and not cells.any():
        cells = np.asarray(coverage == best)
    return cells


def mask_to_grid(
    mask: Bool[np.ndarray, "h w"], label: str, shape: GridShape, rule: Rule = "coverage"
) -> DescriptorGrid:
    """Make the grid of one mask.

    Args:
        mask: A boolean array `h w`.
        label: The label of its cells; all others are `others`.
        shape: Rows and columns of the grid over the mask.
        rule: `coverage` sets the cells at least half covered and never loses a mask; `iou` sets
            those that together fit it best; `center` takes the pixel in the middle of each cell,
            as Text4Seg does, and may lose small things.

    Returns:
        The grid.

    Raises:
        LabelError: The label cannot be written.
        UnknownNameError: There is no such rule.
    """
    check_label(label)
    if rule in ("coverage", "iou"):
        cells = coverage_to_cells(mask_to_coverage(mask, shape), rule)
    elif rule == "center":
        cells = _center_cells(_check_mask(mask), shape)
    else:
        raise UnknownNameError("rule", str(rule), RULES)
    return DescriptorGrid((OTHERS, label), cells.astype(np.int32))


def _center_cells(mask: Bool[np.ndarray, "h w"], shape: GridShape) -> Bool[np.ndarray, "rows cols"]:
    height, width = mask.shape
    return np.asarray(mask[np.ix_(centers(shape.rows, height), centers(shape.cols, width))])


def masks_to_grid(
    masks: Mapping[str, Bool[np.ndarray, "h w"]],
    shape: GridShape,
    overlap: Overlap = "smallest",
    rule: Rule = "coverage",
) -> DescriptorGrid:
    """Make one grid of several masks, by the rules of `mask_to_grid`.

    By `coverage` each cell takes the label that covers most of it, with the background's own share;
    by `iou`, of the masks that it fits best, the one that covers most of it. A tie goes to the
    first label. A mask without a cell takes its best-covered ones, unless that would take the last
    cell of another. By `center` a cell takes what its middle pixel shows, and small things may
    vanish.

    Args:
        masks: Boolean arrays of one size by label.
        shape: Rows and columns of the grid.
        overlap: Whom a pixel under several masks belongs to: the `smallest` (a part over its whole)
            or the `first`; or `error`.
        rule: `coverage`, `iou` or `center`.

    Returns:
        The grid; empty without masks.

    Raises:
        InputError: The sizes differ, or masks overlap and `overlap` is `error`.
        LabelError: A label cannot be written.
        UnknownNameError: There is no such rule or overlap.
    """
    if rule not in RULES:
        raise UnknownNameError("rule", str(rule), RULES)
    if not masks:
        return DescriptorGrid.empty(shape)
    for label in masks:
        check_label(label)
    owned = _share_pixels({label: _check_mask(mask) for label, mask in masks.items()}, overlap)
    if rule == "center":
        shown = np.stack([_center_cells(mask, shape) for mask in owned])
        nothing = ~shown.any(axis=0)
        return DescriptorGrid((*masks, OTHERS), np.where(nothing, len(owned), shown.argmax(axis=0)))
    coverage = np.stack([mask_to_coverage(mask, shape) for mask in owned])
    if rule == "iou":
        claims = np.where(coverages_to_best_cells(coverage), coverage, -1)
        background = np.zeros_like(coverage[0])
    else:
        claims = coverage
        background = mask_to_coverage(~np.logical_or.reduce(owned), shape)
    # Labels stand before the background, so that half a cell is enough, as for one mask.
    winner = np.concatenate([claims, background[None]]).argmax(axis=0)
    _keep_nonempty(winner, coverage, [int(mask.sum()) for mask in owned])
    return DescriptorGrid((*masks, OTHERS), winner)


def _share_pixels(
    masks: dict[str, Bool[np.ndarray, "h w"]], overlap: Overlap
) -> list[Bool[np.ndarray, "h w"]]:
    """The masks with every pixel left to one of them, in the order given."""
    if overlap not in OVERLAPS:
        raise UnknownNameError("way to resolve overlaps", str(overlap), OVERLAPS)
    if len({mask.shape for mask in masks.values()}) != 1:
        raise InputError("masks of one grid have one size")
    labels = list(masks)
    if overlap == "smallest":
        labels.sort(key=lambda label: int(masks[label].sum()))
    taken = np.zeros_like(masks[labels[0]])
    owned = {}
    for label in labels:
        if overlap == "error" and (taken & masks[label]).any():
            raise InputError(f"the mask of {label!r} overlaps another")
        owned[label] = masks[label] & ~taken
        taken |= masks[label]
    return [owned[label] for label in masks]


def _keep_nonempty(
    winner: Int64[np.ndarray, "rows cols"],
    coverage: Float32[np.ndarray, "labels rows cols"],
    areas: list[int],
) -> None:
    """Give masks without a cell their best-covered cells, in place; the smallest goes first."""
    background = len(areas)
    for index in sorted(range(len(areas)), key=areas.__getitem__):
        if (winner == index).any():
            continue
        for value in np.unique(coverage[index])[::-1]:
            if value <= 0:
                break
            free = coverage[index] == value
            for owner in np.unique(winner[free]).tolist():
                if owner != background and np.all(free[winner == owner]):
                    free &= winner != owner
            if free.any():
                winner[free] = index
                break


def mask_to_box(mask: Bool[np.ndarray, "h w"]) -> Box | None:
    """Find the smallest box around the pixels set; None where there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    cols = np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    return Box(int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1)


def polygons_to_mask(polygons: Sequence[Sequence[float]], size: Size) -> Bool[np.ndarray, "h w"]:
    """Draw COCO polygons as one mask, as pycocotools does.

    Args:
        polygons: Flat lists x, y, x, y, … in pixels.
        size: The size of the image.

    Returns:
        A boolean array `h w`.

    Raises:
        InputError: A list is no polygon.
        MissingExtraError: pycocotools is not installed.
    """
    return rle_to_mask(polygons_to_rle(polygons, size))


def _check_mask(mask: np.ndarray) -> Bool[np.ndarray, "h w"]:
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"a mask is a non-empty array of height x width, got shape {array.shape}")
    return array if array.dtype == np.bool_ else array != 0


__all__ = [
    "INTERPOLATIONS",
    "OVERLAPS",
    "RULES",
    "Interpolation",
    "Overlap",
    "Rule",
    "cells_to_mask",
    "coverage_to_cells",
    "interpolation_weights",
    "mask_to_box",
    "mask_to_coverage",
    "mask_to_grid",
    "masks_to_grid",
    "polygons_to_mask",
    "probability_to_mask",
    "resize_probability",
    "scanline_mask",
    "scanline_probability",
]
