"""What a refiner is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Bool, Float32

from text4seg.core.types import Size

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """A mask, and what the refiner has to say about it (nothing, as a rule)."""

    mask: Bool[np.ndarray, "h w"]
    notes: tuple[str, ...] = ()


class Refiner(Protocol):
    """Turns the probability of each cell into a mask of the photo's size."""

    def __call__(
        self, image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size
    ) -> Refined:
        """Refine; `image` is upright RGB of that size, and the mask begins at one half."""
        ...
