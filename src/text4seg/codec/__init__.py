"""The text formats of a mask: write, read strictly, salvage, describe as a grammar, take apart."""

from __future__ import annotations

from typing import Any

from text4seg.codec.format import NOTATIONS, Format, GridFormat, Notation, Repair, Salvage
from text4seg.codec.syntax import LineSyntax, OpenRun, Span, Syntax, Unit
from text4seg.core.registry import Registry

DEFAULT_FORMAT = "rrle"

FORMATS: Registry[Format[Any]] = Registry(
    "format",
    "text4seg.formats",
    {
        "sd": "text4seg.codec.sd:SD",
        "rle": "text4seg.codec.rle:RLE",
        "rrle": "text4seg.codec.rrle:RRLE",
        "box": "text4seg.codec.box:BOX",
    },
)
"""Every text format by its name; packages add theirs as entry points `text4seg.formats`."""


def get_format(name: str) -> Format[Any]:
    """The format of that name.

    Args:
        name: A name in `FORMATS`.

    Returns:
        The format.

    Raises:
        UnknownNameError: There is none; the error lists the known ones.
    """
    return FORMATS[name]


__all__ = [
    "DEFAULT_FORMAT",
    "FORMATS",
    "NOTATIONS",
    "Format",
    "GridFormat",
    "LineSyntax",
    "Notation",
    "OpenRun",
    "Repair",
    "Salvage",
    "Span",
    "Syntax",
    "Unit",
    "get_format",
]
