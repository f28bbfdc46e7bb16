"""The refiner `smooth`: an outline that covers each cell by its probability, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.types import Size
from text4seg.refine._field import outline_field
from text4seg.refine.interface import RefinedMask
from text4seg.refine.none import none

if TYPE_CHECKING:
    from PIL.Image import Image

VANISHED = "smoothing left no pixel above one half: the mask is that of the cells"


def smooth(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> RefinedMask:
    """A smooth outline that covers each cell by its probability; no weights, milliseconds.

    Where cells on both sides of the outline are soft, the outline covers each by its probability,
    read as coverage. Yes or no everywhere is interpolated bicubically instead, since a covering
    outline would reproduce the blocks. An empty answer stays empty.

    Args:
        image: Upright RGB.
        probability: Of each cell, 0 to 1.
        size: The image's size.

    Returns:
        The mask; that of the cells, with a note, where smoothing would leave no pixel.
    """
    blocks = none(image, probability, size)
    if not (probability >= 0.5).any():
        return blocks  # bicubic overshoot could exceed one half between many cells just below it
    ys, xs = ((np.arange(n) + 0.5) / n for n in (size.height, size.width))
    mask = np.asarray(outline_field(probability).at(ys, xs) >= 0.5)
    return RefinedMask(mask) if mask.any() else RefinedMask(blocks.mask, (*blocks.notes, VANISHED))
