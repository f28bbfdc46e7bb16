"""Tokens of a mask: flat, image-wise and row-wise run length, for tokenizers of real backbones.

    python benchmarks/length.py --coco instances.json --json

Labels are class names (`name`), short and long expressions, since the paper's texts repeat whole
expressions. The paper reports 583 tokens flat and 154 as R-RLE at 16x16 on refCOCO, 74 % less;
`saved` is the same figure here. Objects of refCOCO cover 5 % of their image or more, so these are
counted apart from those over 0.5 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotations import outline_to_rle, read_objects
from benchmarks.tokenizers_of_backbones import SOURCES, counter
from text4seg.codec import get_format
from text4seg.core.coverage import coverages_to_cells, rles_to_coverage
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape

SAMPLES = {"over 0.5 %": 0.005, "over 5 %": 0.05}
LABELS = {
    "name": "{}",
    "short expression": "the {} on the left",
    "long expression": "the {} on the left side of the picture that stands next to another one",
}


def mean_tokens(form: str, grids: Sequence[DescriptorGrid], count: Callable[[str], int]) -> float:
    """The mean length of the texts."""
    return round(float(np.mean([count(get_format(form).encode(grid)) for grid in grids])), 1)


def measure(objects: Sequence[Any], shapes: Sequence[GridShape]) -> list[dict[str, Any]]:
    """A row for each tokenizer, grid and kind of label."""
    rows = []
    rles = [outline_to_rle(outline, size) for _, size, outline in objects]
    for name in SOURCES:
        count = counter(name)
        for shape in shapes:
            cells = coverages_to_cells(rles_to_coverage(rles, shape)).astype(np.int32)
            for kind, wording in LABELS.items():
                grids = [
                    DescriptorGrid((OTHERS, wording.format(one[0])), part)
                    for one, part in zip(objects, cells, strict=True)
                ]
                tokens = {form: mean_tokens(form, grids, count) for form in ("sd", "rle", "rrle")}
                saved = round(1 - tokens["rrle"] / tokens["sd"], 4)
                rows.append(
                    {"tokenizer": name, "grid": str(shape), "label": kind, **tokens}
                    | {"saved": saved}
                )
    return rows


def table(record: dict[str, Any]) -> str:
    """A record as Markdown."""
    rows = record["results"]
    told = ", ".join(
        f"{count} {sample} of their image" for sample, count in record["objects"].items()
    )
    lines = [
        f"Objects: {told}.",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|---" * len(rows[0]) + "|",
    ]
    for row in rows:
        values = {**row, "saved": f"{100 * row['saved']:.1f} %"}
        lines.append("| " + " | ".join(map(str, values.values())) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print; exit code 1 where something cannot be had."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--grid", default="16x16,32x32")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    try:
        shapes = [GridShape.parse(text) for text in options.grid.split(",")]
        for sample, smallest in SAMPLES.items():
            objects = list(islice(read_objects(options.coco, smallest), options.limit))
            if not objects:
                raise InputError(f"{options.coco} holds no object {sample} of its image")
            counts[sample] = len(objects)
            rows += [{"objects": sample, **row} for row in measure(objects, shapes)]
    except Text4SegError as error:
        print(f"length: {error}", file=sys.stderr)
        return 1
    report = {"benchmark": "length", "objects": counts, "results": rows}
    print(json.dumps(report, indent=0) if options.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
