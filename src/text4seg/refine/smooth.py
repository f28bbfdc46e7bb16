"""Soft edges without a network: the probabilities are interpolated, then cut at one half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.geometry import cells_to_mask, probability_to_mask
from text4seg.core.types import Size
from text4seg.refine._protocol import Refined

if TYPE_CHECKING:
    from PIL.Image import Image

LOST = "smoothing left no pixel above one half: the mask is that of the cells"


def smooth(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """Bicubic interpolation of the cells' probabilities.

    A lone, unsure cell may vanish under interpolation; then the cells' own mask is kept, and the
    notes say so.
    """
    del image
    mask = probability_to_mask(probability, size, how="bicubic", threshold=0.5)
    cells = probability >= 0.5
    if cells.any() and not mask.any():
        return Refined(cells_to_mask(cells, size), (LOST,))
    return Refined(mask)
