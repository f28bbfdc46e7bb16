"""`text4seg decode`: a mask image from mask text."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._console import UsageError, log, print_json, usage_errors
from text4seg.cli._mask_io import read_value
from text4seg.cli._terminal import print_grid
from text4seg.cli._text_options import FormatOption
from text4seg.codec import get_format
from text4seg.conversions import Value, masks_to_svg
from text4seg.core.errors import InputError
from text4seg.core.files import write_atomically
from text4seg.core.regions import Regions
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import OTHERS, GridShape, Size
from text4seg.images import MAX_PIXELS, mask_to_png


def decode(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The mask text or a whole answer; - is stdin.")
    ],
    size: Annotated[str, typer.Option(help="Height x width of the mask in pixels.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The mask picture: PNG, or outlines as .svg.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="Which label, if the text has several.")
    ] = None,
    grid: Annotated[str, typer.Option(help="Rows x columns of the text.")] = "16x16",
    format_name: FormatOption = "rrle",
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Read damaged text too and list the repairs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read mask text and write the mask as a picture.

    Reading is strict: text that is not exactly in the format is an error that says where.
    """
    with usage_errors():
        shape, pixels = GridShape.parse(grid), parse_size(size)
        text_format = get_format(format_name)
    value, repairs = read_value(file, text_format, shape, salvage=salvage)
    name = choose(value, label)
    mask = value.mask(name, pixels)
    if out is not None:
        svg = out.suffix.lower() == ".svg"
        write_atomically(out, masks_to_svg({name: mask}).encode() if svg else mask_to_png(mask))
    for repair in repairs:
        log(f"repaired {repair}")
    if as_json:
        print_json(
            {
                "grid": str(shape),
                "labels": list(value.labels),
                **({"regions": value.to_record()} if isinstance(value, Regions) else {}),
                "mask": mask_to_rle(mask),
                "repairs": [asdict(repair) for repair in repairs],
            }
        )
    elif out is None:
        _print(value)
    else:
        log(f"wrote {out}")


def parse_size(text: str) -> Size:
    """Read `HEIGHTxWIDTH` in pixels.

    Raises:
        InputError: It is not a size, or one of more pixels than an image may have.
    """
    match = re.fullmatch(r"([0-9]{1,9})[xX×]([0-9]{1,9})", text.strip())
    if not match:
        raise InputError(f"a size is written HEIGHTxWIDTH in pixels, as in 480x640, got {text!r}")
    size = Size(int(match[1]), int(match[2]))
    if size.pixels > MAX_PIXELS:
        raise InputError(f"a mask of {size} pixels is too large: {MAX_PIXELS / 1e6:g} million go")
    return size


def _print(value: Value) -> None:
    if not isinstance(value, Regions):
        print_grid(value)
        return
    if not value.regions:
        print("no box: nothing is meant")
    for region in value.regions:
        box = region.box
        print(f"columns {box.x0} to {box.x1}, rows {box.y0} to {box.y1} of 100")
        print_grid(region.grid)


def choose(value: Value, label: str | None) -> str:
    """Get the label asked for, or the only one; raises `UsageError` where it is not clear."""
    present = [name for name in value.labels if name != OTHERS]
    if label is not None:
        if present and label not in present:
            raise UsageError(f"the text has no label {label!r}, only {', '.join(present)}")
        return label
    if len(present) > 1:
        raise UsageError(
            f"the text has several labels: choose one with --label ({', '.join(present)})"
        )
    return present[0] if present else ""
