"""Time of `text4seg score` on many predictions of 640x480 in run lengths, the whole command.

    python benchmarks/score.py --count 50000 --json

Masks are blobs with ragged edges, a few hundred of them, written by pycocotools; each question
takes one as its truth and another, often the same one moved, as its prediction. One question in
ten means nothing, and one answer in ten is empty. Five questions an image; no image is opened.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.core.run_lengths import mask_to_rle

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT, WIDTH = 480, 640
SEED = 8
SHAPES = 300
A_IMAGE = 5


def blob(random: np.random.Generator) -> np.ndarray:
    """A thing with a wavy, ragged outline."""
    center = random.uniform((80, 80), (HEIGHT - 80, WIDTH - 80))
    radius = random.uniform(20, 180)
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    down, across = rows - center[0], cols - center[1]
    angle = np.arctan2(down, across)
    edge = radius * (1 + 0.3 * np.sin(random.integers(2, 9) * angle + random.uniform(0, 6)))
    return np.asarray(np.hypot(down, across) < edge + random.normal(0, 0.5, size=down.shape))


def write_files(folder: Path, count: int) -> dict[str, Any]:
    """`val.jsonl` and `predictions.jsonl`; what they are like."""
    random = np.random.default_rng(SEED)
    shapes = []
    for _ in range(SHAPES):
        mask = blob(random)
        moved = np.roll(mask, random.integers(-20, 21, size=2), axis=(0, 1))
        shapes.append((mask_to_rle(mask), mask_to_rle(moved)))
    with (folder / "val.jsonl").open("w") as truth, (folder / "p.jsonl").open("w") as answers:
        for index in range(count):
            chosen, other = random.integers(0, SHAPES, size=2)
            named = {
                "image": f"{index // A_IMAGE:06d}.jpg",
                "expression": f"the {('left', 'red', 'small')[index % 3]} thing {index % A_IMAGE}",
            }
            true = None if random.random() < 0.1 else shapes[chosen][0]
            said = shapes[chosen][1] if random.random() < 0.8 else shapes[other][0]
            answer = None if random.random() < 0.1 else said
            truth.write(json.dumps({**named, "mask": true, "set": "blobs"}) + "\n")
            answers.write(json.dumps({**named, "mask": answer}) + "\n")
    lengths = [len(rle["counts"]) for pair in shapes for rle in pair]
    return {"count": count, "size": f"{HEIGHT}x{WIDTH}", "characters": float(np.mean(lengths))}


def run(count: int) -> dict[str, Any]:
    """Time the command once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        described = write_files(folder, count)
        command = [
            *(sys.executable, "-m", "text4seg", "score", str(folder / "p.jsonl")),
            *("--data", str(folder / "val.jsonl"), "--task", "gres", "--json"),
        ]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = json.loads(done.stdout)["sets"]["blobs"]
    return {
        "benchmark": "score",
        **described,
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "a_second": count / seconds,
        "giou": figures["giou"],
        "ciou": figures["ciou"],
    }


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    return "\n".join(
        [
            "| predictions | size | characters a mask | seconds | of a processor | a second |",
            "|---|---|---|---|---|---|",
            (
                f"| {record['count']:,} | {record['size']} | {record['characters']:.0f} "
                f"| {record['seconds']:.1f} | {record['processor_seconds']:.1f} "
                f"| {record['a_second']:,.0f} |"
            ),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time of text4seg score.")
    parser.add_argument("--count", type=int, default=50_000, help="so many predictions (50000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    if parsed.count < 1:
        parser.error(f"--count is at least 1, got {parsed.count}")
    record = run(parsed.count)
    print(json.dumps(record, indent=1) if parsed.json else table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
