"""A model's whole report on images with masks: one command, one folder, one page.

    python -m projects.nano.benchmarks.report --data DIR --out out/nano

Makes all evaluation sets of `evaluation_sets.py` from DIR (COCO classes, clothing, and what else
that script makes) and runs `text4seg evaluate` on them. The folder then has report.json,
report.md and report.html; a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from text4seg.core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

TOGETHER = "all.jsonl"  # holds what is in the others


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A model's whole report.")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with coco/ and clothing/")
    add("--out", type=Path, required=True, help="folder for the questions, the run and the report")
    add("rest", nargs="*", help="options of text4seg evaluate, after --, such as -- --model nano")
    parsed = parser.parse_args(arguments)
    sets = parsed.out / "sets"
    make = [sys.executable, "-m", "projects.nano.benchmarks.evaluation_sets"]
    done = subprocess.run([*make, "--data", str(parsed.data), "--out", str(sets)], check=False)
    if done.returncode != 0:
        return done.returncode
    found = [path for path in sorted(sets.glob("*.jsonl")) if path.name != TOGETHER]
    lines = b"".join(path.read_bytes() for path in found)
    questions = parsed.out / "questions.jsonl"
    write_atomically(questions, lines)
    command = [
        *(sys.executable, "-m", "text4seg", "evaluate", "--data", str(questions)),
        *("--images", str(parsed.data), "--task", "gres", "--empty-below", "1"),
        *("--out", str(parsed.out), *parsed.rest),
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
