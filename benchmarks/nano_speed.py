"""Seconds from a photo to a mask, first and further expressions, and the peak of memory.

    python benchmarks/nano_speed.py --photo examples/photos/cat.jpg --threads 2 --json

The model is loaded and warmed up before; median of `--repeat` photos. Memory is the largest
resident set of the whole process, weights and Python included.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch

from text4seg.segmenter import Segmenter

EXPRESSIONS = ("the cat", "the dog", "the left cat", "the bench", "the person")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time nano.")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    segmenter = Segmenter.from_pretrained("nano")
    segmenter(arguments.photo, EXPRESSIONS[0])
    first, further = [], []
    for _ in range(arguments.repeat):
        began = time.perf_counter()
        segmenter(arguments.photo, EXPRESSIONS[0])
        first.append(time.perf_counter() - began)
        began = time.perf_counter()
        segmenter.segment_many(arguments.photo, EXPRESSIONS)
        together = time.perf_counter() - began
        further.append((together - first[-1]) / (len(EXPRESSIONS) - 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {
        "first_seconds": statistics.median(first),
        "further_seconds": statistics.median(further),
        "peak_gb": peak * (1 if sys.platform == "darwin" else 1024) / 1e9,
        "threads": arguments.threads,
        "repeat": arguments.repeat,
    }
    print(json.dumps(report, indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
