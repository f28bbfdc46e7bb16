"""How often rounding makes a many-token pass choose another token than one-token passes, with nano.

    python benchmarks/rounding.py --data coco.jsonl --images DIR --dtype bfloat16 --limit 1000

A pass over many tokens sums products in another order than passes over one token. In 16 or 32 bits
this can change a close choice. Every question is decoded with one token a pass, and again with the
resulting mask as the draft: where no choice differs, one long pass verifies the whole text.
`--draft auto` uses the usual drafter instead (more passes over the same texts).

`--data` is written by `projects/nano/benchmarks/evaluation_sets.py`; several files are separated by
commas. Images are taken in a fixed random order. Answers are kept in `--journal`: a run stopped by
`--minutes` continues with the same call.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, Text4SegError
from text4seg.data import read_jsonl
from text4seg.decoding import UNBOUNDED, DecodingOptions
from text4seg.images import open_image
from text4seg.segmenter import Segmenter

DTYPES = ("bfloat16", "float16", "float32")
DRAFTS = ("previous", "auto")
SEED = 0


def questions(files: Sequence[Path], images: Path) -> list[tuple[Path, list[str]]]:
    """Images in a fixed random order, each with what is asked of it."""
    asked: dict[Path, list[str]] = {}
    for file in files:
        for sample in read_jsonl(file, images):
            texts = asked.setdefault(sample.image, [])
            texts += [one.expression for one in sample.targets if one.expression not in texts]
    ordered = sorted(asked)
    random.Random(SEED).shuffle(ordered)
    return [(image, asked[image]) for image in ordered]


class Twice:
    """Writes masks with one token a pass and with drafts."""

    def __init__(self, dtype: str, draft: str, form: str, grid: str) -> None:
        import torch

        plain = DecodingOptions("none")
        first = Segmenter.from_pretrained("nano", format=form, grid=grid, options=plain)
        model: Any = first.model
        model.model.to(getattr(torch, dtype))
        self.model, self.plain = model, first
        drafted = DecodingOptions(draft)
        self.drafted = Segmenter(
            model, format=form, grid=grid, options=drafted, pass_cost=UNBOUNDED
        )

    def compare(self, image: Path, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """For each question whether the two differ, and in how many cells."""
        session = self.model.encode_image(open_image(image))
        for text in texts:
            one = self.plain.generator.generate(session, text)
            many = self.drafted.generator.generate(session, text, previous=one.grid)
            cells = one.grid.select(text) != many.grid.select(text)
            yield {
                "image": image.name,
                "expression": text,
                "choices": one.costs.decisions,
                "differs": one.text != many.text,
                "cells": int(cells.sum()),
            }


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts, and the rate with its 95 % interval (Wilson), over all masks and those written."""
    written = [row for row in rows if row["choices"]]
    differing = sum(row["differs"] for row in rows)
    return {
        "masks": len(rows),
        "written": len(written),
        "choices": sum(row["choices"] for row in rows),
        "differing": differing,
        "rate": differing / len(rows),
        "interval": interval(differing, len(rows)),
        "rate_of_written": differing / max(1, len(written)),
        "differing_cells": sum(row["cells"] for row in rows),
    }


def interval(found: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    z = 1.96
    middle, spread = found + z * z / 2, z * sqrt(found * (of - found) / of + z * z / 4)
    return max(0.0, (middle - spread) / (of + z * z)), (middle + spread) / (of + z * z)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.limit < 1:
        raise InputError(f"--limit is at least 1, got {arguments.limit}")
    files = [Path(name) for name in arguments.data.split(",")]
    asked = questions(files, arguments.images)
    settings = {key: getattr(arguments, key) for key in ("dtype", "draft", "format", "grid")}
    rows = read_journal(arguments.journal, settings)
    done = {(row["image"], row["expression"]) for row in rows}
    deadline = time.monotonic() + 60 * arguments.minutes
    twice = Twice(arguments.dtype, arguments.draft, arguments.format, arguments.grid)
    for image, texts in asked:
        left = [text for text in texts if (image.name, text) not in done]
        if len(rows) >= arguments.limit or time.monotonic() > deadline:
            break
        for row in twice.compare(image, left) if left else ():
            rows.append(row)
            keep(arguments.journal, row)
        print(f"{len(rows)}: {sum(row['differs'] for row in rows)} differ", file=sys.stderr)
    return {"benchmark": "rounding", "model": "nano", **settings, **summarize(rows)}


def read_journal(file: Path | None, settings: dict[str, str]) -> list[dict[str, Any]]:
    """What an earlier call has answered; of the same settings, or it is refused."""
    if file is None:
        return []
    if not file.exists():
        keep(file, settings)
        return []
    try:
        first, *rows = map(json.loads, file.read_text().splitlines())
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is no journal of this benchmark: {error}") from None
    if first != settings:
        raise InputError(f"{file} is of another run: {first}, and this is {settings}")
    return rows


def keep(file: Path | None, row: dict[str, Any]) -> None:
    if file is not None:
        with file.open("a") as journal:
            journal.write(json.dumps(row) + "\n")


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    low, high = report["interval"]
    cells = [report["dtype"], f"{report['masks']:,}", f"{report['written']:,}"]
    cells += [f"{report['choices']:,}", f"{report['differing']:,}", f"{report['rate']:.1%}"]
    cells += [f"{low:.1%}–{high:.1%}", f"{report['differing_cells']:,}"]
    heads = ["numbers", "masks", "with a choice", "choices", "masks that differ", "rate"]
    heads += ["95 % interval", "cells that differ"]
    lines = (heads, ["---"] * len(heads), cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Masks that rounding changes.")
    add = parser.add_argument
    add("--data", required=True, help="files of questions, one a line; several with commas")
    add("--images", type=Path, required=True, help="folder of the images")
    add("--dtype", choices=DTYPES, default="bfloat16")
    add("--draft", choices=DRAFTS, default="previous", help="previous: the very mask")
    add("--format", default="rrle", help="sd, rle or rrle")
    add("--grid", default="16x16", help="rows x columns")
    add("--limit", type=int, default=1000, help="so many masks, or a few more (1000)")
    add("--minutes", type=float, default=1e6, help="stop after so long")
    add("--journal", type=Path, help="file that keeps the answers; a later call goes on from it")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed)
    except Text4SegError as error:
        print(f"rounding: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
