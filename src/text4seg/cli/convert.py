"""`text4seg convert`: mask text from one format to another."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from text4seg.cli._talk import checking_the_call, print_json, print_text, say
from text4seg.codec import Repair, get_format
from text4seg.codec.answer import SEG_OPEN, body_of, find_body
from text4seg.core.errors import InputError, MaskSyntaxError
from text4seg.core.instances import grid_to_record, record_to_grid
from text4seg.core.types import DescriptorGrid, GridShape

MAX_BYTES = 64 << 20


def convert(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Mask text, an answer, or a grid as JSON; - is stdin."),
    ],
    to: Annotated[str, typer.Option("--to", help="sd, rle, rrle, or json: the grid itself.")],
    grid: Annotated[str, typer.Option(help="Rows x columns of the text.")] = "16x16",
    format_name: Annotated[
        str, typer.Option("--format", help="Format of the text: sd, rle, rrle or json.")
    ] = "rrle",
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Read damaged text too and list the repairs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write mask text in another format.

    text4seg convert mask.txt --to sd
    text4seg convert - --to json < mask.txt

    Reading is strict unless --salvage is given.
    """
    with checking_the_call():
        shape = GridShape.parse(grid)
        for name in {to, format_name} - {"json"}:
            get_format(name)
    cells, repairs = _read_grid(file, shape, format_name, salvage=salvage)
    for repair in repairs:
        say(f"repaired {repair}")
    text = json.dumps(grid_to_record(cells), ensure_ascii=False) + "\n"
    if to != "json":
        text = get_format(to).encode(cells)
    if not as_json:
        print_text(text)
        return
    record: dict[str, Any] = {"format": to, "grid": str(cells.shape), "labels": list(cells.labels)}
    record |= grid_to_record(cells) if to == "json" else {"text": text}
    repaired = [{"row": repair.row, "what": repair.what} for repair in repairs]
    print_json(record | {"repairs": repaired})


def _read_grid(
    file: Path, shape: GridShape, format_name: str, *, salvage: bool
) -> tuple[DescriptorGrid, tuple[Repair, ...]]:
    text = read_text(file)
    if format_name == "json":
        try:
            return record_to_grid(json.loads(text)), ()
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file} is not JSON: {error}") from None
    form = get_format(format_name)
    if salvage:
        saved = form.salvage(find_body(text), shape)
        return saved.grid, saved.repairs
    try:
        return form.decode(body_of(text) if SEG_OPEN in text else text, shape), ()
    except MaskSyntaxError as error:
        raise InputError(f"{file}, {error} (--salvage reads damaged text)") from error


def read_text(file: Path) -> str:
    """The text of a file, or of stdin for `-`.

    Raises:
        InputError: It cannot be read, is no UTF-8 or is too long.
    """
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{file} cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{file} has more than {MAX_BYTES >> 20} MB, too much for mask text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not text: byte {error.start} is not UTF-8") from error
