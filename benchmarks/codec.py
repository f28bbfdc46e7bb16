"""What the format costs: COCO annotations to text, text to grid, and the import.

    python benchmarks/codec.py --coco instances.json --json

`plain` is the ordinary way: pycocotools decodes the mask, Pillow resizes it to the grid and loops
count the runs. `ours` never makes pixels. Both start from polygons as they stand in the file
(`polygons`) or from run lengths (`rle`), and take turns in one process on one thread; each figure
is the best of several rounds, in microseconds a mask.
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
from text4seg.codec import RRLE
from text4seg.codec.batch import decode_many, rles_to_texts
from text4seg.core.coverage import polygons_to_rle
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import GridShape, Size

GRIDS = ("16x16", "16x64", "32x32", "64x64")
ROUNDS = 7


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


def best(ways: dict[str, Callable[[], object]], count: int) -> dict[str, float]:
    """Microseconds a mask of each way, taking turns."""
    found = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            way()
            found[name] = min(found[name], (time.process_time() - start) / count * 1e6)
    return {name: round(value, 2) for name, value in found.items()}


def measure(objects: list[tuple[str, Size, Any]], shape: GridShape) -> dict[str, Any]:
    """All figures of one grid."""
    labels = [label for label, _, _ in objects]
    outlines = [(outline, size) for _, size, outline in objects]
    rles = [polygons_to_rle(*pair) for pair in outlines]
    texts = rles_to_texts(rles, labels, shape)
    pairs = list(zip(rles, labels, strict=True))
    figures = best(
        {
            "plain, polygons": lambda: [
                plain_text(polygons_to_rle(*pair), label, shape)
                for pair, label in zip(outlines, labels, strict=True)
            ],
            "ours, polygons": lambda: rles_to_texts(
                [polygons_to_rle(*pair) for pair in outlines], labels, shape
            ),
            "plain, rle": lambda: [plain_text(rle, label, shape) for rle, label in pairs],
            "ours, rle": lambda: rles_to_texts(rles, labels, shape),
            "plain, text to grid": lambda: [plain_grid(text, shape) for text in texts],
            "ours, text to grid": lambda: decode_many(texts, shape),
            "ours, text to grid one by one": lambda: [RRLE.decode(text, shape) for text in texts],
        },
        len(objects),
    )
    runs = sum(text.count(" *") for text in texts) / len(texts)
    return {
        "grid": str(shape),
        "masks": len(objects),
        "runs": round(runs, 1),
        "microseconds": figures,
        "faster, polygons": round(figures["plain, polygons"] / figures["ours, polygons"], 2),
        "faster, rle": round(figures["plain, rle"] / figures["ours, rle"], 2),
    }


def import_milliseconds() -> float:
    """Processor time of `import text4seg` beyond that of the interpreter; the best of several."""
    code = "import time; s=time.process_time(); import text4seg; print(time.process_time()-s)"
    source = Path(__file__).parents[1] / "src"
    found = []
    for _ in range(ROUNDS):
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
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        shapes = [GridShape.parse(text) for text in options.grid.split(",")]
        objects = [
            o for o in islice(read_objects(options.coco), options.limit) if type(o[2]) is list
        ]
        if not objects:
            raise InputError(f"{options.coco} holds no object with an outline of polygons")
        results = [measure(objects, shape) for shape in shapes]
    except Text4SegError as error:
        print(f"codec: {error}", file=sys.stderr)
        return 1
    report = {"import_milliseconds": import_milliseconds(), "results": results}
    if options.json:
        print(json.dumps(report, indent=1))
        return 0
    print(f"import text4seg: {report['import_milliseconds']} ms")
    names = list(results[0]["microseconds"])
    print("| grid | runs | " + " | ".join(names) + " | faster, polygons | faster, rle |")
    print("|---" * (len(names) + 4) + "|")
    for row in results:
        cells = [row["grid"], row["runs"], *row["microseconds"].values()]
        cells += [row["faster, polygons"], row["faster, rle"]]
        print("| " + " | ".join(map(str, cells)) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
