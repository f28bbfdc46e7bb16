"""What a refiner is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

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
    """Turns the probability of each cell into a mask of the image's size."""

    def __call__(
        self, image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size
    ) -> Refined:
        """Refine; `image` is upright RGB of that size, and the mask begins at one half."""
        ...


RefineMask: TypeAlias = "Callable[[Float32[np.ndarray, 'rows cols']], Refined]"
"""A refiner with an image: the probability of each cell in, a mask out."""


@runtime_checkable
class OpeningRefiner(Refiner, Protocol):
    """A refiner that does once an image what all its masks share."""

    def open(self, image: Image) -> RefineMask:
        """Take an image, upright RGB; costs nothing before the first mask."""
        ...


def prepare_refiner(refiner: Refiner, image: Image) -> RefineMask:
    """The refiner for all masks of one image."""
    if isinstance(refiner, OpeningRefiner):
        return refiner.open(image)
    size = Size(image.height, image.width)

    def refine(probability: Float32[np.ndarray, "rows cols"]) -> Refined:
        return refiner(image, probability, size)

    return refine
