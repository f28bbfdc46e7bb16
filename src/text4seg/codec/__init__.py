"""The text formats of a mask: write, read strictly, salvage, describe as a grammar, take apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from text4seg.codec.format import NOTATIONS, Format, GridFormat, Notation, Repair, Salvage
from text4seg.codec.syntax import LineSyntax, OpenRun, Span, Syntax, Unit
from text4seg.core.registry import Registry
from text4seg.core.types import GridShape

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


def grammar(
    labels: Sequence[str] | None,
    *,
    grid: str | GridShape = "16x16",
    format: str = DEFAULT_FORMAT,  # noqa: A002 - the word of the reference
    notation: Notation = "lark",
) -> str:
    """Describe the mask texts of some labels as a grammar, for a server that decodes with one.

    Args:
        labels: The names that may occur beside `others`; None allows every legal label.
        grid: Rows x columns.
        format: The name of a text format.
        notation: `lark` (llguidance), `gbnf` (llama.cpp), `ebnf` (xgrammar) or `regex`.

    Returns:
        The grammar of exactly the texts that the format's strict reader accepts.

    Raises:
        UnknownNameError: There is no such format.
        InputError: The grid is not one.
        LabelError: A label cannot be written.
        GrammarError: The notation cannot hold this grammar.
    """
    shape = GridShape.parse(grid) if isinstance(grid, str) else grid
    return get_format(format).grammar(shape, labels, notation)


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
    "grammar",
]
