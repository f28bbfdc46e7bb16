# ruff: noqa: ARG005 - every damage takes text, label and randomness, and few use all of them
"""Damaged mask texts, read by `salvage` and by a parser like that of Text4Seg.

    python benchmarks/salvage.py --coco instances.json --json

Every object is encoded as `rrle` at 16x16 and damaged in each way in turn. Figures are the mean IoU
of the cells read with the undamaged cells. The baseline follows the description of the released
parser: split at `|` and multiply out the counts; any error gives an empty mask; a list of cells
that is too short or too long is padded or cut at its end, whatever the rows say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotations import outline_to_rle, read_objects
from text4seg.codec.batch_codec import rles_to_texts
from text4seg.codec.rrle import RRLE
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import GridShape

Random = np.random.Generator
SHAPE = GridShape(16, 16)
SEED = 0


def baseline(text: str, label: str) -> np.ndarray:
    """The cells that a parser as described would read."""
    cells: list[str] = []
    try:
        body = text.split("<seg>")[1].split("</seg>", maxsplit=1)[0]
        for row in body.strip().split("\n"):
            for run in row.strip().split("|"):
                word, count = run.strip().rsplit(" *", 1)
                cells += [word] * int(count)
    except (IndexError, ValueError):
        cells = []
    cells = (cells + ["others"] * SHAPE.cells)[: SHAPE.cells]
    return np.array([word == label for word in cells]).reshape(SHAPE.rows, SHAPE.cols)


def on_a_row(change: Callable[[str, Random], str]) -> Callable[[str, Random], str]:
    """Damage to one row that holds the object, if there is one."""

    def damage(body: str, random: Random) -> str:
        lines = body.split("\n")
        places = [at for at, line in enumerate(lines) if "| " in line] or [0]
        at = places[random.integers(len(places))]
        lines[at] = change(lines[at], random)
        return "\n".join(lines)

    return damage


def lengthen(by: int) -> Callable[[str, Random], str]:
    """One run of a row counts so many cells more or less, but at least one."""

    def change(line: str, random: Random) -> str:
        counts = [match for match in re.finditer(r"\*(\d+)", line) if int(match[1]) + by > 0]
        if not counts:
            return line
        match = counts[random.integers(len(counts))]
        return f"{line[: match.start()]}*{int(match[1]) + by}{line[match.end() :]}"

    return on_a_row(change)


def misspell(body: str, label: str) -> str:
    """Two letters of the label exchanged, everywhere."""
    return body.replace(f"{label} *", f"{label[:-2]}{label[-1]}{label[-2]} *")


def wrap(body: str) -> str:
    """As an answer has it."""
    return f"Here is the mask:\n<seg>{body}</seg>"


def cut(body: str, random: Random) -> str:
    """Only the beginning of an answer."""
    return wrap(body[: random.integers(1, len(body))]).removesuffix("</seg>")


DAMAGES: dict[str, Callable[[str, str, Random], str]] = {
    "none": lambda body, label, random: wrap(body),
    "cut anywhere": lambda body, label, random: cut(body, random),
    "a row of C+1": lambda body, label, random: wrap(lengthen(1)(body, random)),
    "a row of C-1": lambda body, label, random: wrap(lengthen(-1)(body, random)),
    "a row of C+3": lambda body, label, random: wrap(lengthen(3)(body, random)),
    "a row of C-3": lambda body, label, random: wrap(lengthen(-3)(body, random)),
    "no separators": lambda body, label, random: wrap(body.replace("| ", " ")),
    "doubled separators": lambda body, label, random: wrap(body.replace("| ", "|| ")),
    "a run *0": lambda body, label, random: wrap(body.replace("| ", f"| {label} *0| ", 1)),
    "Arabic digits": lambda body, label, random: wrap(
        body.translate({ord(str(at)): chr(0x660 + at) for at in range(10)})
        if not re.search(r"\d", label)
        else body
    ),
    "leading zeros": lambda body, label, random: wrap(re.sub(r"\*(\d)\b", r"*0\1", body)),
    "an unknown label": lambda body, label, random: wrap(
        on_a_row(lambda line, _: line.replace("others *", "zebra crossing *", 1))(body, random)
    ),
    "a near miss of the label": lambda body, label, random: wrap(misspell(body, label)),
    "a missing row": lambda body, label, random: wrap(body[body.index("\n ") + 2 :]),
    "an extra row": lambda body, label, random: wrap(body + " others *16\n"),
    "a garbled row": lambda body, label, random: wrap(
        on_a_row(lambda line, _: " and so on")(body, random)
    ),
    "prose around": lambda body, label, random: f"Sure! {wrap(body)}\nThe mask | covers it.",
    "no </seg>": lambda body, label, random: wrap(body).removesuffix("</seg>"),
    "two <seg> blocks": lambda body, label, random: wrap("others *16\n") + "\n" + wrap(body),
    "Windows line ends": lambda body, label, random: wrap(body).replace("\n", "\r\n"),
    "a Markdown fence": lambda body, label, random: wrap(f"\n```text\n{body}```\n"),
    "a fence, no marks": lambda body, label, random: f"Here:\n```\n{body}```\nDone.",
}


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of cells; two empty ones agree."""
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0


def measure(texts: list[tuple[str, str]]) -> list[dict[str, object]]:
    """A row for each kind of damage."""
    rows: list[dict[str, object]] = []
    for name, damage in DAMAGES.items():
        random = np.random.default_rng(SEED)
        scores = []
        for label, body in texts:
            clean = RRLE.decode(body, SHAPE, [label]).select(label)
            text = damage(body, label, random)
            ours = RRLE.salvage(text, SHAPE, [label]).value.select(label)
            scores.append((agreement(ours, clean), agreement(baseline(text, label), clean)))
        ours_mean, theirs = np.mean(scores, axis=0)
        rows.append({"damage": name, "salvage": round(float(ours_mean), 4)})
        rows[-1]["baseline"] = round(float(theirs), 4)
    return rows


def table(record: dict[str, Any]) -> str:
    """A record as Markdown."""
    lines = ["| damage | salvage | baseline |", "|---|---|---|"]
    lines += [
        f"| {row['damage']} | {row['salvage']:.3f} | {row['baseline']:.3f} |"
        for row in record["results"]
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Damage, read, print; exit code 1 where the annotations cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        objects = list(islice(read_objects(options.coco), options.limit))
        if not objects:
            raise InputError(f"{options.coco} holds no object large enough")
        rles = [outline_to_rle(outline, size) for _, size, outline in objects]
        labels = [label for label, _, _ in objects]
        rows = measure(list(zip(labels, rles_to_texts(rles, labels, SHAPE), strict=True)))
    except Text4SegError as error:
        print(f"salvage: {error}", file=sys.stderr)
        return 1
    report = {"benchmark": "salvage", "objects": len(objects), "results": rows}
    print(json.dumps(report, indent=0) if options.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
