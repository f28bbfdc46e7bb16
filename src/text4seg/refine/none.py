"""The text's own mask: every pixel takes the answer of its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.geometry import cells_to_mask
from text4seg.core.types import Size
from text4seg.refine._protocol import Refined

if TYPE_CHECKING:
    from PIL.Image import Image


def none(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """Nearest neighbour: cells of probability one half and more become blocks of pixels."""
    del image
    return Refined(cells_to_mask(probability >= 0.5, size))
