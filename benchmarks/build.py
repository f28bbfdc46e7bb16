"""How fast training samples are built, and in how much memory.

    python benchmarks/build.py --annotations 100000 --processes 2 --json

Makes refCOCO files in a temporary folder: images of 480 x 640 with five things each, polygons of
20 to 60 points as COCO's are, a sentence of some six words a thing. No image exists and none is
looked at. Then `text4seg.data.build` turns them into JSON lines, and the time is extrapolated to
the 877,000 samples of the paper's two passes: by the wall clock, which counts whatever else the
machine does, and by the processor time of all processes
shared between them. Memory is the largest of any process.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from text4seg.data import Selection, read_dataset
from text4seg.data.build import BuildPlan, build_dataset
from text4seg.data.mixture import Mixture

PAPER_SAMPLES = 877_000
A_IMAGE = 5
WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
WORDS = ("the", "left", "man", "in", "a", "red", "shirt", "dog", "on", "big", "table", "near")


def polygon(random: np.random.Generator, height: int, width: int) -> list[float]:
    """A wavy outline of 20 to 60 points; a tenth of the image wide in the median."""
    points = int(random.integers(20, 61))
    radius = float(np.clip(random.lognormal(np.log(60), 0.7), 8, 230))
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    waves = 1 + 0.25 * np.sin(3 * angles + random.random() * 6) + 0.1 * random.random(points)
    x = np.clip(random.uniform(0, width) + radius * waves * np.cos(angles), 0, width)
    y = np.clip(random.uniform(0, height) + radius * waves * np.sin(angles), 0, height)
    outline: list[float] = np.stack([x, y], axis=1).round(2).ravel().tolist()
    return outline


def make_refcoco(folder: Path, count: int) -> None:
    """Write `instances.json` and `refs(unc).p` with so many annotations, a sentence each."""
    random = np.random.default_rng(0)
    height, width = 480, 640
    image_count = -(-count // A_IMAGE)
    images = [
        {"id": at, "file_name": f"{at:012d}.jpg", "height": height, "width": width}
        for at in range(image_count)
    ]
    refs: list[dict[str, Any]] = []
    folder.mkdir(parents=True)
    with (folder / "instances.json").open("w") as file:
        file.write('{"images": ' + json.dumps(images) + ', "annotations": [')
        for at in range(count):
            outline = polygon(random, height, width)
            record = {
                "id": at,
                "image_id": at // A_IMAGE,
                "category_id": 1,
                "bbox": [0, 0, 1, 1],
                "segmentation": [outline],
            }
            file.write((", " if at else "") + json.dumps(record))
            sentence = " ".join(random.choice(WORDS, 6).tolist())
            refs.append(
                {
                    "ref_id": at,
                    "ann_id": at,
                    "image_id": at // A_IMAGE,
                    "split": "train",
                    "sentences": [{"sent": sentence, "sent_id": at}],
                }
            )
        file.write('], "categories": [{"id": 1, "name": "thing"}]}')
    with (folder / "refs(unc).p").open("wb") as pickled:
        pickle.dump(refs, pickled)


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in WHO]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(count: int, processes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_refcoco(root / "refcoco", count)
        before = _processor_seconds()
        start = time.perf_counter()
        reading = read_dataset(
            "refcoco", root, images=root, selection=Selection(check_images=False)
        )
        opened = time.perf_counter() - start
        plan = BuildPlan(Mixture(absent=0.0), images_per_part=500)
        manifest = build_dataset(reading, root / "out", plan=plan, processes=processes)
        seconds = time.perf_counter() - start
    busy = _processor_seconds() - before
    rate = manifest["samples"] / seconds
    peak = max(resource.getrusage(who).ru_maxrss for who in WHO)
    return {
        "annotations": count,
        "samples": manifest["samples"],
        "skipped": manifest["report"]["skipped"],
        "processes": processes,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "seconds": round(seconds, 2),
        "seconds_opening": round(opened, 2),
        "samples_a_second": round(rate),
        "minutes_for_877k": round(PAPER_SAMPLES / rate / 60, 2),
        "processor_seconds": round(busy, 2),
        "minutes_for_877k_by_processor_time": round(
            PAPER_SAMPLES / manifest["samples"] * busy / processes / 60, 2
        ),
        "memory_mb": round(peak / 1024),
    }


def table(record: dict[str, Any]) -> str:
    """A record as Markdown."""
    lines = [
        "| samples | processes | seconds | for 877,000, minutes | if all cores were free | MB |"
    ]
    lines.append("|---" * 6 + "|")
    cells = (
        *(f"{record['samples']:,}", record["processes"], record["seconds"]),
        *(record["minutes_for_877k"], record["minutes_for_877k_by_processor_time"]),
        record["memory_mb"],
    )
    lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure building of training samples.")
    parser.add_argument("--annotations", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    report = measure(arguments.annotations, arguments.processes)
    if arguments.json:
        print(json.dumps(report))
        return
    for key, value in report.items():
        print(f"{key:>20} {value}")


if __name__ == "__main__":
    main()
