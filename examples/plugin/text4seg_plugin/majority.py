"""The refiner `majority`: each cell takes the majority of the 3×3 cells around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.types import Size
from text4seg.core.upsampling import cells_to_mask
from text4seg.refine.interface import RefinedMask, from_function

if TYPE_CHECKING:
    from PIL.Image import Image

VANISHED = "the majority filter left no cell: the mask is that of the cells"


@from_function
def majority(
    image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size
) -> RefinedMask:
    """A majority filter over the cells: single cells vanish, single holes are filled."""
    del image
    cells = probability >= 0.5
    padded = np.pad(cells.astype(int), 1, mode="edge")
    rows, cols = cells.shape
    votes = sum(padded[y : y + rows, x : x + cols] for y in range(3) for x in range(3))
    filtered = np.asarray(votes) >= 5
    if cells.any() and not filtered.any():
        return RefinedMask(cells_to_mask(cells, size), (VANISHED,))
    return RefinedMask(cells_to_mask(filtered, size))
