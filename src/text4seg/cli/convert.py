"""`text4seg convert`: mask text to other text formats, images and records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from text4seg.cli._console import UsageError, log, print_json, print_text, usage_errors
from text4seg.cli._mask_io import read_value
from text4seg.cli._renderers import RENDERERS, RenderRequest, check_rendering
from text4seg.cli._text_options import FORMATS_HELP
from text4seg.cli.decode import choose, parse_size
from text4seg.codec import FORMATS, Repair, get_format
from text4seg.conversions import Value, value_to_record, value_to_text
from text4seg.core.errors import UnknownNameError
from text4seg.core.files import write_atomically
from text4seg.core.types import GridShape, Size
from text4seg.images import open_image

JSON = "json"


def convert(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Mask text, an answer, or a grid as JSON; - is stdin."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help=f"Text: {FORMATS_HELP}; json: the grid itself; pixels: png, labels (a picture "
            "with a palette), cutout (the image, transparent around), svg, coco, detections "
            "(supervision's).",
        ),
    ],
    grid: Annotated[str, typer.Option(help="Rows x columns of the text.")] = "16x16",
    format_name: Annotated[
        str, typer.Option("--format", help=f"Format of the text: {FORMATS_HELP}, or json.")
    ] = "rrle",
    size: Annotated[
        str | None, typer.Option(help="Height x width of the image, where pixels are made.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="The image, for a cut-out or instead of --size.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="Only this label, where pixels are made.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to this file instead of stdout.")
    ] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Read damaged text too and list the repairs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write mask text in another format.

    \b
    text4seg convert mask.txt --to sd
    text4seg convert - --to json < mask.txt
    text4seg convert mask.txt --to cutout --image image.jpg -o cut.png
    text4seg convert mask.txt --to coco --size 480x640

    Reading is strict unless --salvage is given.
    """  # noqa: D301 - the sign tells click to leave the lines alone
    with usage_errors():
        shape = GridShape.parse(grid)
        form = None if format_name == JSON else get_format(format_name)
        if to not in {*RENDERERS, *FORMATS, JSON}:
            raise UnknownNameError("format to convert to", to, (*FORMATS, JSON, *RENDERERS))
        pixels = None if size is None else parse_size(size)
        if to in RENDERERS:
            check_rendering(to, out, pixels, image)
    value, repairs = read_value(file, form, shape, salvage=salvage)
    for repair in repairs:
        log(f"repaired {repair}")
    opened = None if image is None else open_image(image)
    if opened is not None:
        if pixels not in (None, Size(opened.height, opened.width)):
            raise UsageError(
                f"{opened} is {opened.height}x{opened.width}, and --size says {pixels}"
            )
        pixels = Size(opened.height, opened.width)
    if to in RENDERERS:
        assert pixels is not None  # noqa: S101 - check_rendering refuses None; this tells mypy
        wanted = None if label is None else choose(value, label)
        data = RENDERERS[to].write(RenderRequest(value, pixels, opened, wanted))
    else:
        data = _text(value, to, shape, pixels).encode()
    if out is not None:
        write_atomically(out, data)
    if as_json:
        print_json(_record(value, to, data, out) | _repaired(repairs))
    elif out is not None:
        log(f"wrote {out}")
    else:
        print_text(data.decode())


def _text(value: Value, to: str, shape: GridShape, pixels: Size | None) -> str:
    if to == JSON:
        return json.dumps(value_to_record(value), ensure_ascii=False) + "\n"
    return value_to_text(value, to, grid=shape, size=pixels)


def _record(value: Value, to: str, data: bytes, out: Path | None) -> dict[str, Any]:
    record: dict[str, Any] = {"format": to, "labels": list(value.labels)}
    if out is not None:
        record["out"] = str(out)
    if to == JSON:
        return record | value_to_record(value)
    if to in FORMATS or to == "svg":
        return record | {"text": data.decode()}
    return record | ({to: json.loads(data)} if RENDERERS[to].is_text else {})


def _repaired(repairs: tuple[Repair, ...]) -> dict[str, Any]:
    return {"repairs": [{"row": repair.row, "what": repair.what} for repair in repairs]}
