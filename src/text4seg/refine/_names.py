"""What a user may write to name a refiner, and what is made of it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.errors import InputError, MissingExtraError, UnknownNameError
from text4seg.core.types import GridShape, Size
from text4seg.refine._protocol import Refined, RefineMask, Refiner, prepare_refiner
from text4seg.refine.crf import crf, crf_paper
from text4seg.refine.none import none
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.pretrained.sam import Sam

REFINERS = (
    "auto",
    "none",
    "smooth",
    "crf",
    "crf-paper",
    "sam",
    "sam-int8",
    "sam2",
    "sam3",
    "sam_hq",
)
"""Their names; other models than the embedded one stand after a colon, as in `sam2:FOLDER`."""

_NEEDED = ("torch", "transformers", "cv2")
_FINE = 48
_NAMED = re.compile(r"(?P<name>[^@:]*)(?:@(?P<side>[^:]*))?(?::(?P<model>.*))?")
_PLAIN: dict[str, Refiner] = {"none": none, "smooth": smooth, "crf": crf, "crf-paper": crf_paper}
_FAMILIES = ("sam", "sam2", "sam3", "sam_hq")


def get_refiner(text: str) -> Refiner:
    """The refiner of that name; nothing is loaded before its first mask.

    `sam` is the embedded MobileSAM, `sam@768` for a long side of 768 pixels, `sam-int8` with its
    encoder's weights as bytes; `sam:FOLDER`, `sam2:FOLDER`, `sam3:FOLDER` and `sam_hq:FOLDER` are
    other models, from a folder or a hub.

    Raises:
        UnknownNameError: There is none; the error lists the known ones.
        InputError: What follows the name does not fit it.
        MissingExtraError: It needs packages that are not there.
    """
    found = _NAMED.fullmatch(text)
    name, side, model = found.group("name", "side", "model") if found else (text, None, None)
    if name not in REFINERS:
        raise UnknownNameError("refiner", text, REFINERS)
    if name in _PLAIN or name == "auto":
        if side is not None or model is not None:
            raise InputError(f"the refiner {name} takes nothing after its name, got {text!r}")
        return _PLAIN[name] if name in _PLAIN else AutoRefiner()
    for package in _NEEDED:
        if find_spec(package) is None:
            raise MissingExtraError(package, "hf")
    return _sam(text, name, side, model)


class AutoRefiner:
    """Picks for each mask: by the grid, by what is installed, and by the device.

    Cells of 48 a side and more are finer than what a SAM adds. Coarser ones get MobileSAM, at 1024
    pixels where there is a GPU and at 768 on a processor; without torch they stay smooth.
    """

    def __init__(self) -> None:
        self._sam: Refiner | None = None

    def __call__(
        self, image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size
    ) -> Refined:
        """Refine one mask."""
        del size  # the image's own
        return self.open(image)(probability)

    def open(self, image: Image) -> RefineMask:
        """Take an image for all its masks."""
        opened: list[RefineMask] = []

        def refine(probability: Float32[np.ndarray, "rows cols"]) -> Refined:
            if choose(GridShape(*probability.shape)) == "smooth":
                return smooth(image, probability, Size(image.height, image.width))
            if not opened:
                self._sam = self._sam or get_refiner(choose(GridShape(*probability.shape)))
                opened.append(prepare_refiner(self._sam, image))
            return opened[0](probability)

        return refine


def choose(shape: GridShape) -> str:
    """The refiner that `auto` is for a grid, here."""
    if min(shape.rows, shape.cols) >= _FINE or any(find_spec(name) is None for name in _NEEDED):
        return "smooth"
    from text4seg.pretrained.sam import default_device

    return "sam@768" if default_device() == "cpu" else "sam"


def _sam(text: str, name: str, side: str | None, model: str | None) -> Refiner:
    from text4seg.refine.sam import SamRefiner

    if model is not None and (side is not None or name not in _FAMILIES):
        raise InputError(f"a model of one's own is named as in sam2:FOLDER, got {text!r}")
    if model == "" or (model is None and name in _FAMILIES and name != "sam"):
        raise InputError(
            f"{name} needs a model's folder or name, as in {name}:FOLDER, got {text!r}"
        )
    pixels = 1024 if side is None else int(side) if re.fullmatch(r"\d{2,4}", side) else 0
    if pixels < 64 or pixels % 32 or pixels > 2048:
        raise InputError(
            f"a refiner's side is a multiple of 32 from 64 to 2048, as in sam@768, got {text!r}"
        )

    def load() -> Sam:
        from text4seg.pretrained.sam import Sam

        if model is not None:
            return Sam.from_pretrained(model, family=name)
        return Sam.embedded(pixels, int8=name == "sam-int8")

    return SamRefiner(load)
