"""What the format costs: COCO annotations to text, text to grid, and the import.

    python benchmarks/codec.py --coco instances.json --json

`plain` is the ordinary way: pycocotools draws and decodes the mask, Pillow resizes it to the grid
and loops count the runs. `ours` never makes pixels. Both start from polygons as they stand in the
file (`polygons`) or from run lengths (`rle`). All ways and all grids take turns in one process on
one thread; each figure is the best of many rounds, in microseconds of processor time a mask.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.annotations import read_objects
from text4seg.codec.batch_codec import decode_many, polygons_to_texts, rles_to_texts
from text4seg.codec.rrle import RRLE
from text4seg.core.coverage import polygons_to_rle
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import GridShape, Size

GRIDS = ("16x16", "16x64", "32x32", "64x64")
ROUNDS = 20
IMPORTS = 7


def plain_rle(polygons: list[list[float]], size: Size) -> dict[str, Any]:
    """Polygons as pycocotools draws them."""
    from pycocotools import mask as coco

    drawn: dict[str, Any] = coco.merge(coco.frPyObjects(polygons, size.height, size.width))
    return drawn


def plain_text(rle: dict[str, Any], label: str, shape: GridShape) -> str:
    """Pixels, a smaller picture, loops."""
    from pycocotools import mask as coco

    small = Image.fromarray(coco.decode(rle)).resize((shape.cols, shape.rows), Image.Resampling.BOX)
    rows = []
    for row in np.asarray(small):
        words = [label if value else "others" for value in row]
        rows.append("| ".join(f"{word} *{len(list(run))}" for word, run in groupby(words)))
    return "\n ".join(rows) + "\n"


def plain_grid(text: str, shape: GridShape) -> list[list[str]]:
    """The obvious loops back."""
    grid = []
    for line in text.strip().split("\n"):
        row: list[str] = []
        for run in line.strip().split("| "):
            word, _, count = run.rpartition(" *")
            row += [word] * int(count)
        grid.append(row)
    if any(len(row) != shape.cols for row in grid):
        raise ValueError("a row of another length")
    return grid


def best(ways: dict[tuple[str, str], Callable[[], object]], count: int) -> dict[str, Any]:
    """Microseconds a mask of each way on each grid, taking turns."""
    found = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            way()
            found[name] = min(found[name], (time.process_time() - start) / count * 1e6)
    grids: dict[str, dict[str, float]] = {}
    for (grid, way_name), value in found.items():
        grids.setdefault(grid, {})[way_name] = round(value, 2)
    return grids


def ways_of(objects: list[tuple[str, Size, Any]], shape: GridShape) -> dict[str, Any]:
    """What is timed on one grid."""
    labels = [label for label, _, _ in objects]
    outlines = [(outline, size) for _, size, outline in objects]
    rles = [polygons_to_rle(*pair) for pair in outlines]
    texts = rles_to_texts(rles, labels, shape)
    pairs = list(zip(rles, labels, strict=True))
    named = list(zip(outlines, labels, strict=True))
    return {
        "plain, polygons": lambda: [
            plain_text(plain_rle(*pair), label, shape) for pair, label in named
        ],
        "ours, polygons": lambda: polygons_to_texts(outlines, labels, shape),
        "plain, rle": lambda: [plain_text(rle, label, shape) for rle, label in pairs],
        "ours, rle": lambda: rles_to_texts(rles, labels, shape),
        "plain, text to grid": lambda: [plain_grid(text, shape) for text in texts],
        "ours, text to grid": lambda: decode_many(texts, shape),
        "ours, text to grid one by one": lambda: [RRLE.decode(text, shape) for text in texts],
    }


def measure(objects: list[tuple[str, Size, Any]], shapes: Sequence[GridShape]) -> list[Any]:
    """All figures of all grids."""
    ways = {
        (str(shape), name): way for shape in shapes for name, way in ways_of(objects, shape).items()
    }
    return [
        {
            "grid": grid,
            "masks": len(objects),
            "microseconds": figures,
            "faster, polygons": round(figures["plain, polygons"] / figures["ours, polygons"], 2),
            "faster, rle": round(figures["plain, rle"] / figures["ours, rle"], 2),
        }
        for grid, figures in best(ways, len(objects)).items()
    ]


def table(record: dict[str, Any]) -> str:
    """A record as Markdown."""
    rows = record["results"]
    names = list(rows[0]["microseconds"])
    lines = ["| grid | " + " | ".join(names) + " | faster, polygons | faster, rle |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for row in rows:
        cells = [row["grid"], *row["microseconds"].values()]
        cells += [row["faster, polygons"], row["faster, rle"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, "", f"`import text4seg`: {record['import_milliseconds']} ms."])


def import_milliseconds() -> float:
    """Processor time of `import text4seg` beyond that of the interpreter; the best of several."""
    code = "import time; s=time.process_time(); import text4seg; print(time.process_time()-s)"
    source = Path(__file__).parents[1] / "src"
    found = []
    for _ in range(IMPORTS):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=source
        )
        found.append(float(done.stdout) * 1e3)
    return round(min(found), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; exit code 1 where the annotations cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--grid", default=",".join(GRIDS))
    parser.add_argument("--limit", type=int, default=240)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        shapes = [GridShape.parse(text) for text in options.grid.split(",")]
        objects = [
            o for o in islice(read_objects(options.coco), options.limit) if type(o[2]) is list
        ]
        if not objects:
            raise InputError(f"{options.coco} holds no object with an outline of polygons")
        results = measure(objects, shapes)
    except Text4SegError as error:
        print(f"codec: {error}", file=sys.stderr)
        return 1
    report = {
        "benchmark": "codec",
        "import_milliseconds": import_milliseconds(),
        "results": results,
    }
    print(json.dumps(report, indent=1) if options.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
