"""The text's own mask: every pixel takes the answer of its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

from text4seg.core.geometry import cells_to_mask
from text4seg.core.types import Size
from text4seg.refine._protocol import Refined

if TYPE_CHECKING:
    from PIL.Image import Image

LOST = "the image is smaller than the grid: the pixels nearest to the cells are marked"


def none(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """Nearest neighbour: cells of probability one half and more become blocks of pixels."""
    del image
    cells = probability >= 0.5
    mask = cells_to_mask(cells, size)
    if cells.any() and not mask.any():
        return Refined(_mark_centers(cells, size), (LOST,))
    return Refined(mask)


def _mark_centers(cells: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "h w"]:
    """The pixels that the centers of the cells lie in."""
    rows, cols = np.nonzero(cells)
    mask = np.zeros((size.height, size.width), dtype=bool)
    down, along = (2 * rows + 1) * size.height, (2 * cols + 1) * size.width
    mask[down // (2 * cells.shape[0]), along // (2 * cells.shape[1])] = True
    return mask
