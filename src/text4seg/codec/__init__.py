"""The text formats of a mask: write, read strictly, salvage, and describe as a grammar."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from text4seg.codec.box import BOX, BoxWise
from text4seg.codec.format import NOTATIONS, Format, Notation, Repair, Salvage
from text4seg.codec.rle import RLE
from text4seg.codec.rrle import RRLE
from text4seg.codec.sd import SD
from text4seg.core.errors import UnknownNameError

DEFAULT_FORMAT = "rrle"

_ALL: tuple[Format, ...] = (SD, RLE, RRLE)

FORMATS: Mapping[str, Format] = MappingProxyType({form.name: form for form in _ALL})
"""Every format of a grid over the image by its name."""

AnyFormat = Format | BoxWise
"""A format of a grid, or the one of boxes with a grid each."""

ALL_FORMATS: Mapping[str, AnyFormat] = MappingProxyType({**FORMATS, BOX.name: BOX})
"""`FORMATS` and `box`, whose values are `Regions` instead of grids."""


def get_any_format(name: str) -> AnyFormat:
    """The format of this name, `box` among them; raises `UnknownNameError`."""
    if name not in ALL_FORMATS:
        raise UnknownNameError("format", name, ALL_FORMATS)
    return ALL_FORMATS[name]


def get_format(name: str) -> Format:
    """The format of a grid over the image of this name; raises `UnknownNameError`."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


__all__ = [
    "ALL_FORMATS",
    "BOX",
    "DEFAULT_FORMAT",
    "FORMATS",
    "NOTATIONS",
    "RRLE",
    "AnyFormat",
    "BoxWise",
    "Format",
    "Notation",
    "Repair",
    "Salvage",
    "get_any_format",
    "get_format",
]
