"""Soft edges without a network: an outline that covers the cells as their probabilities say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.types import Size
from text4seg.refine._field import outline_field
from text4seg.refine._protocol import Refined
from text4seg.refine.none import none

if TYPE_CHECKING:
    from PIL.Image import Image

LOST = "smoothing left no pixel above one half: the mask is that of the cells"


def smooth(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """An outline through the cells; an empty answer stays empty.

    Where cells on both sides of the outline are soft, it covers each by its probability, as if that
    were its coverage. A plain yes or no everywhere is interpolated bicubically instead, since a
    covering outline would be blocks again. A lone, unsure cell may vanish in a small image; then
    the cells' own mask is kept, and the notes say so.
    """
    blocks = none(image, probability, size)
    if not (probability >= 0.5).any():
        return blocks  # bicubic overshoot would find something in many cells just below one half
    ys, xs = ((np.arange(n) + 0.5) / n for n in (size.height, size.width))
    mask = np.asarray(outline_field(probability).at(ys, xs) >= 0.5)
    return Refined(mask) if mask.any() else Refined(blocks.mask, (*blocks.notes, LOST))
