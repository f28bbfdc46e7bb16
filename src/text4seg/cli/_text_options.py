"""Options of mask text, with help from the registries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from text4seg.codec import FORMATS


def list_names(names: Iterable[str]) -> str:
    """Write names as people list them: "a, b or c"."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


FORMATS_HELP = list_names(FORMATS)
GridOption = Annotated[str, typer.Option(help="Rows x columns.")]
FormatOption = Annotated[str, typer.Option("--format", help=f"{FORMATS_HELP}.")]
