"""Masks as boxes with a grid in each, so that a small object has the whole grid for itself.

Boxes lie on a lattice of 100 by 100 parts of the image, so that two digits write an edge. A box
from part 12 to part 30 covers the image from 12/100 to 31/100: both ends belong to it. Boxes are
rounded outward, so none cuts its object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from text4seg.core.errors import InputError
from text4seg.core.geometry import Rule, coverage_to_cells, mask_to_box
from text4seg.core.instances import grid_to_record, record_to_grid
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, Size, check_label

PARTS = 100
"""Parts of the lattice each way; an edge is written with two digits."""


@dataclass(frozen=True, slots=True)
class LatticeBox:
    """A box by the first and last part that belong to it, from 0 to 99.

    Attributes:
        x0: The first column.
        x1: The last column.
        y0: The first row.
        y1: The last row.
    """

    x0: int
    x1: int
    y0: int
    y1: int

    def __post_init__(self) -> None:
        if not (0 <= self.x0 <= self.x1 < PARTS and 0 <= self.y0 <= self.y1 < PARTS):
            raise InputError(
                f"a box has two columns and two rows from 0 to {PARTS - 1}, each pair in order, "
                f"got columns {self.x0} to {self.x1} and rows {self.y0} to {self.y1}"
            )

    def place(self, pixels: Size, shape: GridShape) -> tuple[np.ndarray, np.ndarray]:
        """For every row and column of pixels, the row and column of the box's grid; -1 outside.

        A pixel belongs to what its center lies in, as in `cells_to_mask`.
        """
        return (
            _place(pixels.height, self.y0, self.y1, shape.rows),
            _place(pixels.width, self.x0, self.x1, shape.cols),
        )


def _place(pixels: int, first: int, last: int, cells: int) -> np.ndarray:
    # A center, counted in parts, is (2p + 1) PARTS / (2 pixels): from `first` to `last` + 1.
    inside = (2 * np.arange(pixels, dtype=np.int64) + 1) * PARTS - 2 * pixels * first
    cell = inside * cells // (2 * pixels * (last + 1 - first))
    return np.where((cell >= 0) & (cell < cells), cell, -1)


@dataclass(frozen=True, slots=True)
class Region:
    """A box and the grid inside it."""

    box: LatticeBox
    grid: DescriptorGrid

    def place(self, size: Size) -> tuple[Any, Any]:
        """Index of the pixels inside the box, and that of the cell of each."""
        down, across = self.box.place(size, self.grid.shape)
        pixels = np.ix_(np.flatnonzero(down >= 0), np.flatnonzero(across >= 0))
        return pixels, np.ix_(down[down >= 0], across[across >= 0])

    def mask(self, size: Size) -> Bool[np.ndarray, "h w"]:
        """The pixels that carry any label of this region."""
        found = np.zeros((size.height, size.width), dtype=np.bool_)
        pixels, cells = self.place(size)
        found[pixels] = self.grid.cells[cells] != 0
        return found


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions of one image in the order in which they are written; later ones lie on top.

    All grids have one shape. None at all: no target.
    """

    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        if len({region.grid.shape for region in self.regions}) > 1:
            raise InputError("the grids of all boxes of one image have one shape")

    @property
    def labels(self) -> tuple[str, ...]:
        """`others`, and the labels in the order of their first appearance."""
        names = (name for region in self.regions for name in region.grid.labels)
        return tuple(dict.fromkeys((OTHERS, *names)))

    @property
    def is_empty(self) -> bool:
        """Whether no cell of any box has a label."""
        return len(self.labels) == 1

    def label_map(self, size: Size) -> Int32[np.ndarray, "h w"]:
        """For each pixel the number of its label in `labels`."""
        number = {label: at for at, label in enumerate(self.labels)}
        found = np.zeros((size.height, size.width), dtype=np.int32)
        for region in self.regions:
            own = np.array([number[label] for label in region.grid.labels], dtype=np.int32)
            at, cells = region.place(size)
            seen = own[region.grid.cells[cells]]
            found[at] = np.where(seen > 0, seen, found[at])
        return found

    def mask(self, label: str, size: Size) -> Bool[np.ndarray, "h w"]:
        """The pixels that carry `label`."""
        if label not in self.labels:
            return np.zeros((size.height, size.width), dtype=np.bool_)
        return np.asarray(self.label_map(size) == self.labels.index(label))

    def things(self, size: Size) -> list[tuple[str, Bool[np.ndarray, "h w"]]]:
        """Take the regions apart, each label of each with its pixels: regions may share a label."""
        return [
            (label, Regions((region,)).mask(label, size))
            for region in self.regions
            for label in region.grid.labels
            if label != OTHERS
        ]

    def to_record(self) -> list[dict[str, Any]]:
        """Ready for JSON: a box (x0, x1, y0, y1 in hundredths) and the grid inside, for each."""
        return [
            {
                "box": [region.box.x0, region.box.x1, region.box.y0, region.box.y1],
                **grid_to_record(region.grid),
            }
            for region in self.regions
        ]

    @classmethod
    def from_record(cls, record: Any) -> Regions:
        """Read what `to_record` wrote; raises `InputError` or `LabelError` for anything else."""
        expected = 'regions in JSON are [{"box": [x0, x1, y0, y1], "grid": …, …}, …]'
        if not isinstance(record, list):
            raise InputError(expected)
        found = []
        for one in record:
            box = one.get("box") if isinstance(one, dict) else None
            if not isinstance(box, list) or len(box) != 4 or {type(end) for end in box} != {int}:
                raise InputError(expected)
            found.append(Region(LatticeBox(*box), record_to_grid(one)))
        return cls(tuple(found))


def mask_to_region(
    mask: Bool[np.ndarray, "h w"], label: str, shape: GridShape, rule: Rule = "coverage"
) -> Region | None:
    """Make the smallest box around one mask and the grid inside it.

    Args:
        mask: A boolean array `h w`.
        label: Its label.
        shape: Rows and columns of the grid inside the box.
        rule: `coverage` or `iou`. Coverage is exact inside the box, whose edges may run through
            pixels. `center` is refused: a cell may be smaller than a pixel.

    Returns:
        The region, or None for an empty mask.

    Raises:
        LabelError: The label cannot be written.
        UnknownNameError: There is no such rule, or it is `center`.
    """
    check_label(label)
    around = mask_to_box(np.asarray(mask) != 0)
    if around is None:
        return None
    height, width = mask.shape
    x0, x1 = _outward(int(around.x0), int(around.x1), width)
    y0, y1 = _outward(int(around.y0), int(around.y1), height)
    box = LatticeBox(x0, x1, y0, y1)
    cells = coverage_to_cells(_coverage_inside(mask, box, shape), rule)
    return Region(box, DescriptorGrid((OTHERS, label), cells.astype(np.int32)))


def masks_to_regions(
    masks: Sequence[tuple[str, Bool[np.ndarray, "h w"]]],
    shape: GridShape,
    rule: Rule = "coverage",
) -> Regions:
    """Make one box for each labelled mask.

    Args:
        masks: Labels, which may repeat, with boolean arrays `h w`, in the order of the text.
        shape: Rows and columns of the grid inside each box.
        rule: `coverage` or `iou`.

    Returns:
        The regions; empty masks are left out. Errors are those of `mask_to_region`.
    """
    found = (mask_to_region(mask, label, shape, rule) for label, mask in masks)
    return Regions(tuple(region for region in found if region is not None))


def _outward(begin: int, end: int, pixels: int) -> tuple[int, int]:
    return begin * PARTS // pixels, -(-end * PARTS // pixels) - 1


def _coverage_inside(
    mask: Bool[np.ndarray, "h w"], box: LatticeBox, shape: GridShape
) -> np.ndarray:
    """The share of each cell of the box's grid under the mask."""
    height, width = mask.shape
    down = _overlaps(height, box.y0, box.y1, shape.rows)
    across = _overlaps(width, box.x0, box.x1, shape.cols)
    rows, cols = down.any(axis=0), across.any(axis=0)
    inside = (np.asarray(mask) != 0)[np.ix_(rows, cols)].astype(np.float64)
    areas = down[:, rows] @ inside @ across[:, cols].T
    cell = height * (box.y1 + 1 - box.y0) * width * (box.x1 + 1 - box.x0)
    return np.asarray(areas / cell)


def _overlaps(pixels: int, first: int, last: int, cells: int) -> np.ndarray:
    """How much of each pixel lies in each cell, in integers: a cell is pixels * parts long."""
    length = pixels * (last + 1 - first)
    pixel = np.arange(pixels, dtype=np.int64) * PARTS * cells - first * pixels * cells
    cell = np.arange(cells, dtype=np.int64)[:, None] * length
    overlap = np.minimum(cell + length, pixel + PARTS * cells) - np.maximum(cell, pixel)
    return np.asarray(np.maximum(overlap, 0), dtype=np.float64)


__all__ = [
    "PARTS",
    "LatticeBox",
    "Region",
    "Regions",
    "mask_to_region",
    "masks_to_regions",
]
