"""`text4seg encode`: mask text from masks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._console import UsageError, print_json, print_text, usage_errors
from text4seg.cli._text_options import FormatOption, GridOption
from text4seg.core.coverage import get_rule
from text4seg.core.errors import InputError
from text4seg.core.types import GridShape, check_label
from text4seg.data.coco_texts import encode_coco
from text4seg.data.targets import TargetEncoder
from text4seg.images import open_mask


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
    grid: GridOption = "16x16",
    format_name: FormatOption = "rrle",
    rule: Annotated[
        str,
        typer.Option(
            help="coverage: cells half covered; iou: those that fit best; center: middle pixel."
        ),
    ] = "coverage",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each mask.")
    ] = False,
) -> None:
    """Write masks as text.

    \b
    text4seg encode mask.png --label "the cat"
    text4seg encode instances.json --json > texts.jsonl
    """  # noqa: D301 - the sign tells click to leave the lines alone
    with usage_errors():
        encoder = TargetEncoder(format_name, GridShape.parse(grid), get_rule(rule))
        if label is not None:
            check_label(label)
    with _file(mask) as path:
        name = "stdin" if str(mask) == "-" else str(mask)
        if _starts_like_json(path):
            data = path.read_bytes()
            records = list(encode_coco(data, name, encoder, label=label))
            if not as_json and len(records) != 1:
                raise UsageError(f"{name} holds {len(records)} masks: --json prints each on a line")
            for record in records:
                print_json(record) if as_json else print_text(record["text"])
            return
        if label is None:
            raise UsageError("a picture needs a word for its mask: --label")
        _encode_picture(path, label, encoder, as_json=as_json)


def _encode_picture(path: Path, label: str, encoder: TargetEncoder, *, as_json: bool) -> None:
    pixels = open_mask(path)
    value = encoder.to_value([(label, pixels)])
    if not as_json:
        print_text(encoder.write(value))
        return
    print_json(
        {
            "text": encoder.write(value),
            "format": encoder.format,
            "grid": str(encoder.grid),
            "labels": list(value.labels),
            "size": list(pixels.shape),
            "share": float(pixels.mean()),
        }
    )


@contextmanager
def _file(path: Path) -> Iterator[Path]:
    """Give the file itself, or a temporary one with the bytes of stdin."""
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
        return False  # open_mask reports it
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            return False
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read: {reason}") from error
