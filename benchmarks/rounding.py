"""How often rounding makes a drafted pass write another mask than one-token passes, with nano.

    python benchmarks/rounding.py --data coco.jsonl --images DIR --dtype bfloat16 --limit 1000

Fed many tokens at once, a model adds up its products in another order than fed one. In exact
arithmetic nothing would change; in 16 or 32 bits a close choice may fall otherwise. `--data` as
`benchmarks/evaluation_sets.py` writes it; every question is written with one token a pass and again
with drafts, in the given precision.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, Text4SegError
from text4seg.decoding import UNBOUNDED
from text4seg.pictures import open_image
from text4seg.segmenter import Segmenter

DTYPES = ("bfloat16", "float16", "float32")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from text4seg.data import read_jsonl

    if arguments.limit < 1:
        raise InputError(f"--limit is at least 1, got {arguments.limit}")
    drafted = Segmenter.from_pretrained("nano", format=arguments.format, grid=arguments.grid)
    chat: Any = drafted.chat
    chat.model.to(getattr(torch, arguments.dtype))
    options: dict[str, Any] = {"format": arguments.format, "grid": arguments.grid}
    plain = Segmenter(chat, draft="none", **options)
    drafted = Segmenter(chat, draft="auto", pace=UNBOUNDED, **options)
    count = differing = cells = 0
    for sample in read_jsonl(arguments.data, arguments.images, limit=arguments.limit):
        session = chat.open(open_image(sample.image))
        for asked in sample.asked:
            one = plain.writer.write(session, asked.expression).grid.select(asked.expression)
            many = drafted.writer.write(session, asked.expression).grid.select(asked.expression)
            count += 1
            differing += bool((one != many).any())
            cells += int((one != many).sum())
        print(f"{count} of {arguments.limit}: {differing} differ", file=sys.stderr)
    return {
        "model": "nano",
        "dtype": arguments.dtype,
        "format": drafted.format.name,
        "grid": str(drafted.shape),
        "masks": count,
        "differing": differing,
        "rate": differing / count,
        "differing_cells": cells,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Masks that rounding changes.")
    parser.add_argument("--data", type=Path, required=True, help="questions, one a line")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--format", default="rrle", help="sd, rle or rrle")
    parser.add_argument("--grid", default="16x16", help="rows x columns")
    parser.add_argument("--limit", type=int, default=1000, help="so many masks (1000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a sentence")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed)
    except Text4SegError as error:
        print(f"rounding: {error}", file=sys.stderr)
        return 1
    sentence = "{differing} of {masks} masks differ ({differing_cells} cells) in {dtype}"
    print(json.dumps(report, indent=2) if parsed.json else sentence.format(**report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
