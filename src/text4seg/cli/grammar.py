"""`text4seg grammar`: the grammar of a mask text, for constrained decoding elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from text4seg.cli._console import print_json, print_text, usage_errors
from text4seg.cli._text_options import FormatOption, GridOption
from text4seg.codec import NOTATIONS, Notation, get_format
from text4seg.core.errors import UnknownNameError
from text4seg.core.types import GridShape, check_label


def grammar(
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="A label that may be written; repeatable."),
    ] = None,
    listed: Annotated[
        str | None, typer.Option("--labels", help="Several labels, separated by commas.")
    ] = None,
    grid: GridOption = "16x16",
    format_name: FormatOption = "rrle",
    notation: Annotated[
        str,
        typer.Option(
            "--syntax",
            "--notation",
            help="lark (llguidance), gbnf (llama.cpp), ebnf (xgrammar, vLLM, SGLang) or regex.",
        ),
    ] = "lark",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the grammar of a mask text.

    Without a label, any label may be written.
    """
    with usage_errors():
        shape = GridShape.parse(grid)
        text_format = get_format(format_name)
        labels = [*(labels or ()), *(part.strip() for part in (listed or "").split(",") if listed)]
        for label in labels:
            check_label(label)
        text = text_format.grammar(shape, labels or None, _known(notation))
    if as_json:
        print_json(
            {
                "format": text_format.name,
                "grid": str(shape),
                "labels": labels or None,
                "notation": notation,
                "grammar": text,
            }
        )
    else:
        print_text(text if text.endswith("\n") else text + "\n")


def _known(name: str) -> Notation:
    for notation in NOTATIONS:
        if notation == name:
            return notation
    raise UnknownNameError("notation", name, NOTATIONS)
