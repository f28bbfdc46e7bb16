"""`text4seg encode`: a mask picture in, mask text out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._talk import checking_the_call, print_json, print_text
from text4seg.codec import get_format
from text4seg.core.errors import UnknownNameError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.types import GridShape, check_label
from text4seg.pictures import open_mask

RULES = ("coverage", "center")


def encode(
    mask: Annotated[
        Path,
        typer.Argument(
            metavar="MASK.png", help="The mask: all that is neither black nor transparent."
        ),
    ],
    label: Annotated[str, typer.Option("--label", "-l", help="The word for it.")],
    grid: Annotated[str, typer.Option(help="Rows x columns.")] = "16x16",
    format_name: Annotated[str, typer.Option("--format", help="sd, rle or rrle.")] = "rrle",
    rule: Annotated[
        str, typer.Option(help="coverage: cells half covered; center: the pixel in the middle.")
    ] = "coverage",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a mask as text."""
    with checking_the_call():
        shape = GridShape.parse(grid)
        text_format = get_format(format_name)
        check_label(label)
        if rule not in RULES:
            raise UnknownNameError("rule", rule, RULES)
    pixels = open_mask(mask)
    cells = mask_to_grid(pixels, label, shape, rule="center" if rule == "center" else "coverage")
    text = text_format.encode(cells)
    if not as_json:
        print_text(text)
        return
    print_json(
        {
            "text": text,
            "format": text_format.name,
            "grid": str(shape),
            "labels": list(cells.labels),
            "size": list(pixels.shape),
            "share": float(pixels.mean()),
        }
    )
