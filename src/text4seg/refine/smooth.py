"""Soft edges without a network: the probabilities are interpolated, then cut at one half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.geometry import probability_to_mask
from text4seg.core.types import Size
from text4seg.refine._protocol import Refined
from text4seg.refine.none import none

if TYPE_CHECKING:
    from PIL.Image import Image

LOST = "smoothing left no pixel above one half: the mask is that of the cells"


def smooth(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """Bicubic interpolation of the cells' probabilities; an empty answer stays empty.

    A lone, unsure cell may vanish under interpolation; then the cells' own mask is kept, and the
    notes say so.
    """
    blocks = none(image, probability, size)
    if not (probability >= 0.5).any():
        return blocks  # bicubic overshoot would find something in many cells just below one half
    mask = probability_to_mask(probability, size, how="bicubic", threshold=0.5)
    return Refined(mask) if mask.any() else Refined(blocks.mask, (*blocks.notes, LOST))
