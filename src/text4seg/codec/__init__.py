"""The text formats of a mask: write, read strictly, salvage, and describe as a grammar."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from text4seg.codec.format import NOTATIONS, Format, Notation, Repair, Salvage
from text4seg.codec.rle import RLE
from text4seg.codec.rrle import RRLE
from text4seg.codec.sd import SD
from text4seg.core.errors import UnknownNameError

DEFAULT_FORMAT = "rrle"

_ALL: tuple[Format, ...] = (SD, RLE, RRLE)

FORMATS: Mapping[str, Format] = MappingProxyType({form.name: form for form in _ALL})
"""Every format by its name."""


def get_format(name: str) -> Format:
    """The format of this name; raises `UnknownNameError`."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


__all__ = [
    "DEFAULT_FORMAT",
    "FORMATS",
    "NOTATIONS",
    "RRLE",
    "Format",
    "Notation",
    "Repair",
    "Salvage",
    "get_format",
]
