"""Seconds from an image to a mask, first and further expressions, and the peak of memory.

    python -m projects.nano.benchmarks.speed --image examples/photos/cat.jpg --threads 2 --json

The model is loaded and warmed up before; median of `--repeat` images. Memory is the largest
resident set of the whole process, weights and Python included. Without `--threads` nano chooses
them itself; `--busy 1` lets a process beside it keep one core busy all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import torch

from text4seg.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPRESSIONS = ("the cat", "the dog", "the left cat", "the bench", "the person")


BUSY = "import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """That many of the last cores of this process, each held by a loop of another process."""
    cores = sorted(os.sched_getaffinity(0))[-count:] if count else []
    loops = [subprocess.Popen([sys.executable, "-c", BUSY.format(core=core)]) for core in cores]
    try:
        time.sleep(0.5 if loops else 0)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measure(image: Path, threads: int | None, repeat: int) -> tuple[list[float], list[float]]:
    """Seconds to the first mask of an image and to each further one, `repeat` times."""
    segmenter = Segmenter.from_pretrained("nano")
    if threads is not None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    segmenter(image, EXPRESSIONS[0])
    first, further = [], []
    for _ in range(repeat):
        began = time.perf_counter()
        segmenter(image, EXPRESSIONS[0])
        first.append(time.perf_counter() - began)
        began = time.perf_counter()
        segmenter.segment_many(image, EXPRESSIONS)
        together = time.perf_counter() - began
        further.append((together - first[-1]) / (len(EXPRESSIONS) - 1))
    return first, further


def main() -> None:
    parser = argparse.ArgumentParser(description="Time nano.")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--threads", type=int, help="by default as many as nano chooses")
    parser.add_argument("--busy", type=int, default=0, help="cores that others keep busy")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with busy_cores(arguments.busy):
        first, further = measure(arguments.image, arguments.threads, arguments.repeat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {
        "first_seconds": statistics.median(first),
        "further_seconds": statistics.median(further),
        "peak_gb": peak * (1 if sys.platform == "darwin" else 1024) / 1e9,
        "threads": torch.get_num_threads(),
        "busy": arguments.busy,
        "repeat": arguments.repeat,
    }
    print(json.dumps(report, indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
