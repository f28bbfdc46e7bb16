"""Probabilities of cells with nano: the gain of soft edges, and calibration.

    python benchmarks/soft_masks.py --data coco.jsonl --images DIR --limit 60 --json

`--data` is written by `projects/nano/benchmarks/evaluation_sets.py`. Three tables: pixel IoU of the
hard grid (nearest) and of its probabilities (bicubic, cut at one half), of targets that are there;
how often cells of a probability belong to the target; the mean grid IoU by mask score.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
from text4seg.core.types import Size
from text4seg.segmenter import Segmenter

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32

BINS = 10


def bicubic(probability: Float32[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "h w"]:
    """Cells, upsampled bicubically, at least one half."""
    from PIL import Image

    image = Image.fromarray(probability.astype(np.float32))
    soft = np.asarray(image.resize((size.width, size.height), Image.Resampling.BICUBIC))
    return np.asarray(soft >= 0.5)


def iou(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
    union = int((a | b).sum())
    return float((a & b).sum()) / union if union else 1.0


def reliability(said: np.ndarray, true: np.ndarray) -> list[dict[str, float]]:
    """By bins of what was said: how many there are, their mean, and the mean of the truth."""
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    return [
        {
            "from": at / BINS,
            "count": int((bins == at).sum()),
            "said": float(said[bins == at].mean()),
            "true": float(true[bins == at].mean()),
        }
        for at in range(BINS)
        if (bins == at).any()
    ]


def error_of(table: Sequence[dict[str, float]]) -> float:
    """Expected calibration error: the mean gap between said and true, by count."""
    total = sum(row["count"] for row in table)
    return sum(row["count"] * abs(row["said"] - row["true"]) for row in table) / total


def run(data: Path, images: Path, limit: int) -> dict[str, Any]:
    from text4seg.data import read_jsonl

    if limit < 1:
        raise InputError(f"--limit is at least 1, got {limit}")
    segmenter = Segmenter.from_pretrained("nano")
    hard, soft, said, true, scores, grid_ious = [], [], [], [], [], []
    for sample in read_jsonl(data, images, limit=limit):
        answers = segmenter.segment_many(sample.image, [one.expression for one in sample.targets])
        for asked, found in zip(sample.targets, answers, strict=True):
            size = Size(*found.mask.shape)
            truth = asked.to_mask(size)
            cells = coverage_to_cells(mask_to_coverage(truth, segmenter.shape))
            said.append(found.probability.ravel())
            true.append(cells.ravel())
            if asked.mask is not None:
                hard.append(iou(found.mask, truth))
                soft.append(iou(bicubic(found.probability, size), truth))
            if not found.empty:
                scores.append(found.score)
                grid_ious.append(iou(found.grid.select(found.expression), cells))
        print(f"{len(said)} of {limit}", file=sys.stderr)
    cells_table = reliability(np.concatenate(said), np.concatenate(true))
    return {
        "data": data.name,
        "questions": len(said),
        "present": len(hard),
        "pixel_iou": {"nearest": float(np.mean(hard)), "bicubic": float(np.mean(soft))},
        "cells": cells_table,
        "cells_calibration_error": error_of(cells_table),
        "scores": reliability(np.array(scores), np.array(grid_ious)),
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    both = report["pixel_iou"]
    lines = [f"pixel IoU: nearest {both['nearest']:.3f}, bicubic {both['bicubic']:.3f}", ""]
    for name, truth in (("cells", "are the target's"), ("scores", "grid IoU")):
        lines += [f"| {name}: said | {truth} | count |", "|---|---|---|"]
        lines += [f"| {r['said']:.2f} | {r['true']:.2f} | {r['count']} |" for r in report[name]]
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What probabilities of cells are worth.")
    parser.add_argument("--data", type=Path, required=True, help="questions with true masks")
    parser.add_argument("--images", type=Path, required=True, help="folder of the images")
    parser.add_argument("--limit", type=int, default=60, help="so many questions (60)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed.data, parsed.images, parsed.limit)
    except Text4SegError as error:
        print(f"soft_masks: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
