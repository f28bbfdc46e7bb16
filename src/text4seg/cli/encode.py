"""`text4seg encode`: masks in, mask text out."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._talk import CallError, checking_the_call, print_json, print_text
from text4seg.cli.coco import encode_coco
from text4seg.codec import Format, get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.types import GridShape, check_label
from text4seg.pictures import open_mask

RULES = ("coverage", "center")


def encode(
    mask: Annotated[
        Path,
        typer.Argument(
            metavar="MASK",
            help="A picture (all that is neither black nor transparent) or COCO JSON; - is stdin.",
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option("--label", "-l", help="The word for it; COCO's category by default."),
    ] = None,
    grid: Annotated[str, typer.Option(help="Rows x columns.")] = "16x16",
    format_name: Annotated[str, typer.Option("--format", help="sd, rle or rrle.")] = "rrle",
    rule: Annotated[
        str, typer.Option(help="coverage: cells half covered; center: the pixel in the middle.")
    ] = "coverage",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each mask.")
    ] = False,
) -> None:
    """Write masks as text.

    text4seg encode mask.png --label "the cat"
    text4seg encode instances.json --json > texts.jsonl
    """
    with checking_the_call():
        shape = GridShape.parse(grid)
        text_format = get_format(format_name)
        if label is not None:
            check_label(label)
        if rule not in RULES:
            raise UnknownNameError("rule", rule, RULES)
    with _file(mask) as path:
        name = "stdin" if str(mask) == "-" else str(mask)
        if _starts_like_json(path):
            data = path.read_bytes()
            records = list(encode_coco(data, name, shape, text_format, label=label, rule=rule))
            if not as_json and len(records) != 1:
                raise CallError(f"{name} holds {len(records)} masks: --json prints each on a line")
            for record in records:
                print_json(record) if as_json else print_text(record["text"])
            return
        if label is None:
            raise CallError("a picture needs a word for its mask: --label")
        _encode_picture(path, label, shape, text_format, rule=rule, as_json=as_json)


def _encode_picture(
    path: Path, label: str, shape: GridShape, text_format: Format, *, rule: str, as_json: bool
) -> None:
    pixels = open_mask(path)
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


@contextmanager
def _file(path: Path) -> Iterator[Path]:
    """The file itself; what comes in on stdin is kept in a temporary one."""
    if str(path) != "-":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "stdin"
        kept.write_bytes(sys.stdin.buffer.read())
        yield kept


def _starts_like_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()[:1] in {b"{", b"["}
    except IsADirectoryError:
        return False  # the reader of pictures tells it in its own words
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            return False
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read: {reason}") from error
