"""`text4seg encode`: masks in, mask text out."""

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
from text4seg.cli.coco import encode_coco
from text4seg.codec import AnyFormat, BoxWise, get_any_format
from text4seg.core.coverage import RULES, Rule
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.regions import Regions, masks_to_regions
from text4seg.core.types import DescriptorGrid, GridShape, check_label
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
        shape = GridShape.parse(grid)
        text_format = get_any_format(format_name)
        if label is not None:
            check_label(label)
        chosen = check_rule(rule)
        if chosen == "center" and isinstance(text_format, BoxWise):
            raise UsageError("boxes are not for the rule center: take coverage or iou")
    with _file(mask) as path:
        name = "stdin" if str(mask) == "-" else str(mask)
        if _starts_like_json(path):
            data = path.read_bytes()
            records = list(encode_coco(data, name, shape, text_format, label=label, rule=chosen))
            if not as_json and len(records) != 1:
                raise UsageError(f"{name} holds {len(records)} masks: --json prints each on a line")
            for record in records:
                print_json(record) if as_json else print_text(record["text"])
            return
        if label is None:
            raise UsageError("a picture needs a word for its mask: --label")
        _encode_picture(path, label, shape, text_format, rule=chosen, as_json=as_json)


def _encode_picture(
    path: Path, label: str, shape: GridShape, text_format: AnyFormat, *, rule: Rule, as_json: bool
) -> None:
    pixels = open_mask(path)
    value: DescriptorGrid | Regions
    if isinstance(text_format, BoxWise):
        value = masks_to_regions([(label, pixels)], shape, rule)
        text = text_format.encode(value)
    else:
        value = mask_to_grid(pixels, label, shape, rule)
        text = text_format.encode(value)
    if not as_json:
        print_text(text)
        return
    print_json(
        {
            "text": text,
            "format": text_format.name,
            "grid": str(shape),
            "labels": list(value.labels),
            "size": list(pixels.shape),
            "share": float(pixels.mean()),
        }
    )


def check_rule(name: str) -> Rule:
    """The rule of that name; raises `UnknownNameError`."""
    for rule in RULES:
        if rule == name:
            return rule
    raise UnknownNameError("rule", name, RULES)


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
