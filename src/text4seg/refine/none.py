"""The refiner `none`: every pixel takes the answer of its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

from text4seg.core.geometry import cells_to_mask
from text4seg.core.types import Size
from text4seg.refine.interface import RefinedMask

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLER_THAN_GRID = "the image is smaller than the grid: the pixels nearest to the cells are marked"


def none(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> RefinedMask:
    """The text's own mask: every pixel takes the answer of its cell (nearest neighbor).

    Args:
        image: Upright RGB.
        probability: Of each cell, 0 to 1.
        size: The image's size.

    Returns:
        The mask, with a note where the image is smaller than the grid.
    """
    del image
    cells = probability >= 0.5
    mask = cells_to_mask(cells, size)
    if cells.any() and not mask.any():
        return RefinedMask(_mark_centers(cells, size), (SMALLER_THAN_GRID,))
    return RefinedMask(mask)


def _mark_centers(cells: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "h w"]:
    """The pixels that contain the centers of the cells."""
    rows, cols = np.nonzero(cells)
    mask = np.zeros((size.height, size.width), dtype=bool)
    down, along = (2 * rows + 1) * size.height, (2 * cols + 1) * size.width
    mask[down // (2 * cells.shape[0]), along // (2 * cells.shape[1])] = True
    return mask
