"""Two formats of the same model on the questions that both were asked: `rrle` against `sd`.

    text4seg evaluate --model nano --data SETS/all.jsonl --images DIR --format sd -o out/sd
    text4seg evaluate --model nano --data SETS/all.jsonl --images DIR --format rrle -o out/rrle
    python -m projects.nano.benchmarks.formats out/sd out/rrle --json

Runs may be of different lengths, or still going on: only questions that are in both count. `gain`
is the first run's grid IoU less the second's, with the 95 % interval of a bootstrap by image.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.evaluation.summary import LARGE_CELLS
from text4seg.metrics.bootstrap import compare_ratios

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]
Rows = dict[tuple[str, str, str], Row]
COMMAND = "python -m projects.nano.benchmarks.formats out/sd out/rrle --json"
SHOWN = {
    "questions": "questions",
    "grid_iou": "IoU, grid",
    "large_grid_iou": "≥ 13 cells",
    "miss_rate": "miss rate",
    "n_acc": "N-acc",
    "tokens": "tokens",
    "passes": "passes",
}


def read(folder: Path) -> Rows:
    """What a run has answered so far, by image, expression and set."""
    found: Rows = {}
    for file in sorted(folder.glob("records.*.jsonl")):
        for text in file.read_text().splitlines():
            line = json.loads(text)
            if "truth" in line:
                row = {**line["truth"], **line["prediction"], "cells": line["cells"]}
                found[row["image"], row["expression"], row["set"]] = row
    return found


def overlap(row: Row) -> float | None:
    """Grid IoU of what is there; None for what is not."""
    marked, true, both = row["cells"]
    return None if not true else both / (marked + true - both)


def figures(rows: Sequence[Row]) -> dict[str, float | None]:
    present = [(one, row["cells"]) for row in rows if (one := overlap(row)) is not None]
    large = [one for one, (_, true, _) in present if true >= LARGE_CELLS]
    absent = [row["cells"][0] == 0 for row in rows if not row["cells"][1]]
    return {
        "questions": len(rows),
        "grid_iou": float(np.mean([one for one, _ in present])),
        "large_grid_iou": float(np.mean(large)) if large else None,
        "miss_rate": float(np.mean([marked == 0 for _, (marked, _, _) in present])),
        "n_acc": float(np.mean(absent)) if absent else None,
        "tokens": float(np.mean([row["tokens"] for row in rows])),
        "passes": float(np.mean([row["passes"] for row in rows])),
    }


def gain(one: Sequence[Row], other: Sequence[Row]) -> list[float]:
    """Mean difference of grid IoU, and its 95 % interval when images are drawn again."""
    pairs = [(a["image"], overlap(a), overlap(b)) for a, b in zip(one, other, strict=True)]
    there = [(image, a, b) for image, a, b in pairs if a is not None and b is not None]
    images = [image for image, _, _ in there]
    first, second = (np.array([[pair[at], 1.0] for pair in there]) for at in (1, 2))
    found = compare_ratios(second, first, images).difference
    return [found.value, found.low, found.high]


def compare(one: Rows, other: Rows) -> dict[str, Any]:
    """Of each set the figures of both runs, on the questions that are in both."""
    both = [key for key in one if key in other]
    report = {}
    for name in dict.fromkeys(key[2] for key in both):
        keys = [key for key in both if key[2] == name]
        rows, others = [one[key] for key in keys], [other[key] for key in keys]
        report[name] = {
            rows[0]["format"]: figures(rows),
            others[0]["format"]: figures(others),
            "gain": gain(rows, others),
        }
    return report


def table(record: dict[str, Any]) -> str:
    """Markdown: a row for each set and format."""
    lines = ["| set | format | " + " | ".join(SHOWN.values()) + " | gain |"]
    lines.append("|" + "---|" * (len(SHOWN) + 3))
    for name, found in record["sets"].items():
        first, low, high = found["gain"]
        for index, kind in enumerate(kind for kind in found if kind != "gain"):
            difference = f"{first:+.3f} ({low:+.3f} to {high:+.3f})" if index == 0 else ""
            cells = [written(key, found[kind][key]) for key in SHOWN]
            lines.append("| " + " | ".join([name, kind, *cells, difference]) + " |")
    return "\n".join([*lines, "", f"Measured by `{record['command']}`"])


def written(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    if key == "questions":
        return str(value)
    if key.endswith("iou"):
        return f"{value:.3f}"
    return f"{value:.1%}" if key in ("miss_rate", "n_acc") else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare two formats of the same model.")
    parser.add_argument("runs", type=Path, nargs=2, help="folders of text4seg evaluate -o")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    one, other = (read(folder) for folder in arguments.runs)
    if not one.keys() & other.keys():
        parser.error(
            "the two runs have no question in common: expected folders with records.*.jsonl"
        )
    record = {"benchmark": "formats", "command": COMMAND, "sets": compare(one, other)}
    print(json.dumps(record, indent=1) if arguments.json else table(record))


if __name__ == "__main__":
    main()
