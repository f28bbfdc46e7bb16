"""Soft edges without a network: the outline whose cells are covered as their probabilities say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.geometry import probability_to_mask
from text4seg.core.types import Size
from text4seg.refine._field import covering_field
from text4seg.refine._protocol import Refined
from text4seg.refine.none import none

if TYPE_CHECKING:
    from PIL.Image import Image

LOST = "smoothing left no pixel above one half: the mask is that of the cells"
_SURE = 0.02


def smooth(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """An outline through the cells; an empty answer stays empty.

    Where the cells are soft, the outline covers each by its probability, as if that were its
    coverage; where nearly all are a plain yes or no, they are interpolated bicubically, since a
    covering outline would be blocks again. A lone, unsure cell may vanish under either; then the
    cells' own mask is kept, and the notes say so.
    """
    blocks = none(image, probability, size)
    if not (probability >= 0.5).any():
        return blocks  # bicubic overshoot would find something in many cells just below one half
    if is_soft(probability):
        ys, xs = ((np.arange(n) + 0.5) / n for n in (size.height, size.width))
        mask = np.asarray(covering_field(probability).at(ys, xs) >= 0.5)
    else:
        mask = probability_to_mask(probability, size, how="bicubic", threshold=0.5)
    return Refined(mask) if mask.any() else Refined(blocks.mask, (*blocks.notes, LOST))


def is_soft(probability: Float32[np.ndarray, "rows cols"]) -> bool:
    """Whether any cell is neither surely in nor surely out."""
    return bool(((probability > _SURE) & (probability < 1 - _SURE)).any())
