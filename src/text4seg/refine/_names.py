"""What a user may write to name a refiner, and what is made of it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from text4seg.core.errors import InputError, MissingExtraError, UnknownNameError
from text4seg.refine._protocol import Refiner
from text4seg.refine.none import none
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from text4seg.pretrained.sam import Sam

REFINERS = ("none", "smooth", "sam", "sam-int8", "sam2", "sam3", "sam_hq")
"""Their names; other models than the embedded one stand after a colon, as in `sam2:FOLDER`."""

_NAMED = re.compile(r"(?P<name>[^@:]*)(?:@(?P<side>[^:]*))?(?::(?P<model>.*))?")
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
    if name in ("none", "smooth"):
        if side is not None or model is not None:
            raise InputError(f"the refiner {name} takes nothing after its name, got {text!r}")
        return none if name == "none" else smooth
    for package, extra in (("torch", "hf"), ("transformers", "hf"), ("cv2", "hf")):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)
    return _sam(text, name, side, model)


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
