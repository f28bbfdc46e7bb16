"""The refiner `auto`: chooses another one for each mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.types import GridShape, Size
from text4seg.refine.interface import RefinedMask, RefineMask, Refiner, RefinerSpec
from text4seg.refine.refiners import get_refiner
from text4seg.refine.sam_refiner import missing_package
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from PIL.Image import Image

_FINE = 48
"""From this many cells a side on, a SAM adds nothing to `smooth` (docs/refine.md)."""


def auto(spec: RefinerSpec) -> AutoRefiner:
    """The best of smooth and sam for the grid, the installed packages and the device."""
    spec.require_plain()
    return AutoRefiner()


class AutoRefiner:
    """Chooses for each mask by the grid, the installed packages and the device.

    Grids of 48 cells a side and more stay smooth. Coarser ones get MobileSAM, at 1024 pixels on a
    GPU and at 768 on a CPU; without torch they stay smooth.
    """

    def __init__(self) -> None:
        self._sam: Refiner | None = None

    def prepare(self, image: Image) -> RefineMask:
        """Take an image for all its masks; a SAM is loaded at the first mask that needs it."""
        prepared: list[RefineMask] = []

        def refine(probability: Float32[np.ndarray, "rows cols"]) -> RefinedMask:
            name = choose_refiner(GridShape(*probability.shape))
            if name == "smooth":
                return smooth(image, probability, Size(image.height, image.width))
            if not prepared:
                self._sam = self._sam or get_refiner(name)
                prepared.append(self._sam.prepare(image))
            return prepared[0](probability)

        return refine


def choose_refiner(shape: GridShape) -> str:
    """Get the name of the refiner that `auto` stands for.

    Args:
        shape: The grid of the mask.

    Returns:
        `smooth`, `sam` or `sam@768`.
    """
    if min(shape.rows, shape.cols) >= _FINE or missing_package() is not None:
        return "smooth"
    from text4seg.pretrained.sam import default_device

    return "sam@768" if default_device() == "cpu" else "sam"
