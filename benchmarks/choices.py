"""Median run lengths and a background bias with nano, against the likeliest tokens.

    python benchmarks/choices.py --data coco.jsonl --images DIR --limit 60 --json

Every question is decoded with the likeliest digits of its runs and with runs at their median, each
without and with a bias of the background. `--data` is written by
`projects/nano/benchmarks/evaluation_sets.py`; several files are separated by commas. Images are
taken in a fixed random order.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np

from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.types import Size
from text4seg.data import read_jsonl
from text4seg.decoding import RUN_LENGTHS, DecodingOptions
from text4seg.images import open_image
from text4seg.segmenter import Segmenter

BIASES = (0.0, -0.7)
SEED = 0


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.limit < 1:
        raise InputError(f"--limit is at least 1, got {arguments.limit}")
    files = [Path(name) for name in arguments.data.split(",")]
    samples = list(chain.from_iterable(read_jsonl(file, arguments.images) for file in files))
    random.Random(SEED).shuffle(samples)
    first = Segmenter.from_pretrained("nano", format=arguments.format)
    ways = [
        DecodingOptions(run_lengths=run_lengths, background_bias=bias)
        for run_lengths, bias in product(RUN_LENGTHS, BIASES)
    ]
    generators = {
        way: Segmenter(first.model, format=arguments.format, options=way).generator for way in ways
    }
    found: dict[DecodingOptions, list[tuple[float, int]]] = {way: [] for way in ways}
    absent_right = dict.fromkeys(ways, 0)
    absent = 0
    for sample in samples:
        if absent + len(found[ways[0]]) >= arguments.limit:
            break
        image = open_image(sample.image)
        session = first.model.encode_image(image)
        for asked in sample.targets:
            absent += asked.mask is None
            truth = asked.to_mask(Size(image.height, image.width))
            cells = coverage_to_cells(mask_to_coverage(truth, first.shape))
            for way, generator in generators.items():
                written = generator.generate(session, asked.expression)
                said = written.grid.select(asked.expression)
                if asked.mask is None:
                    absent_right[way] += not said.any()
                else:
                    whole = max(1, int((said | cells).sum()))
                    found[way].append(((said & cells).sum() / whole, written.costs.passes))
        print(f"{absent + len(found[ways[0]])} of {arguments.limit}", file=sys.stderr)
    results = [
        {
            "runs": way.run_lengths,
            "bias": way.background_bias,
            "grid_iou": float(np.mean([iou for iou, _ in found[way]])),
            "passes": float(np.mean([passes for _, passes in found[way]])),
            "absent_empty": absent_right[way] / max(1, absent),
        }
        for way in ways
    ]
    return {
        "benchmark": "choices",
        "model": "nano",
        "format": arguments.format,
        "present": len(found[ways[0]]),
        "absent": absent,
        "results": results,
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    heads = f"| runs | bias | grid IoU of {report['present']} things | passes |"
    lines = [f"{heads} empty, of {report['absent']} absent |", "|---" * 5 + "|"]
    for one in report["results"]:
        cells = [one["runs"], f"{one['bias']:g}", f"{one['grid_iou']:.3f}"]
        cells += [f"{one['passes']:.1f}", f"{one['absent_empty']:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What median runs and a bias are worth.")
    add = parser.add_argument
    add("--data", required=True, help="files of questions, one a line; several with commas")
    add("--images", type=Path, required=True, help="folder of the images")
    add("--format", default="rrle", help="rle or rrle; sd has no runs")
    add("--limit", type=int, default=60, help="so many questions, or a few more (60)")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed)
    except Text4SegError as error:
        print(f"choices: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
