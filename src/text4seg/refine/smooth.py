"""Soft edges without a network: an outline that covers the cells as their probabilities say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

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

    Where cells on both sides of the outline are soft, it covers each by its probability, as if that
    were its coverage. A plain yes or no everywhere is interpolated bicubically instead, since a
    covering outline would be blocks again. A lone, unsure cell may vanish in a small photo; then
    the cells' own mask is kept, and the notes say so.
    """
    blocks = none(image, probability, size)
    if not (probability >= 0.5).any():
        return blocks  # bicubic overshoot would find something in many cells just below one half
    if ((probability > _SURE) & (probability < 1 - _SURE)).any():
        ys, xs = ((np.arange(n) + 0.5) / n for n in (size.height, size.width))
        mask = np.asarray(covering_field(_border(probability)).at(ys, xs) >= 0.5)
    else:
        mask = probability_to_mask(probability, size, how="bicubic", threshold=0.5)
    return Refined(mask) if mask.any() else Refined(blocks.mask, (*blocks.notes, LOST))


def _border(probability: Float32[np.ndarray, "rows cols"]) -> Float32[np.ndarray, "rows cols"]:
    """Probabilities where the outline can pass; all the way in or out elsewhere.

    Far from the outline a doubt is not a share of the cell: it would make islands and holes.
    """
    inside = probability >= 0.5
    near_inside, near_outside = _with_neighbours(inside), _with_neighbours(~inside)
    held = np.where(inside, np.where(near_outside, probability, 1), probability * near_inside)
    return np.asarray(held, dtype=np.float32)


def _with_neighbours(cells: Bool[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "rows cols"]:
    """The cells and the eight around each."""
    padded = np.pad(cells, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.asarray(windows.any(axis=(2, 3)))
