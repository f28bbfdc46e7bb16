"""What refiners add to a model's own answers, whose probabilities are not coverage.

    python -m benchmarks.refine_answers --coco instances_val.json --images DIR --answers KEPT

The model is asked once for each class present in each image (all its instances together, over 0.5 %
of the image); the probabilities of its cells stay in --answers, so that refiners can be tried again
without it. A question that it answers with nothing counts as IoU 0 with every refiner. Beside the
refiners stands `bicubic`, the probabilities interpolated and cut at one half.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32

from benchmarks.refine import SEED, SMALLEST_SHARE, gain_of, keep_features
from benchmarks.refine_tables import gain
from text4seg import Segmenter
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import polygons_to_mask
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import Size
from text4seg.core.upsampling import probability_to_mask
from text4seg.evaluation.summary import LARGE_CELLS
from text4seg.images import open_image
from text4seg.metrics import iou
from text4seg.refine import FunctionRefiner, RefinedMask, get_refiner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

Record = dict[str, Any]
Question = tuple[str, Bool[np.ndarray, "h w"]]


def read_questions(file: Path) -> list[tuple[str, list[Question]]]:
    """Images in a seeded order, each with the classes in it and their masks."""
    try:
        document = json.loads(file.read_text())
        images = {image["id"]: image for image in document["images"]}
        names = {category["id"]: category["name"] for category in document["categories"]}
        found: dict[str, dict[str, Bool[np.ndarray, "h w"]]] = defaultdict(dict)
        for record in document["annotations"]:
            image, outline = images[record["image_id"]], record["segmentation"]
            size = Size(image["height"], image["width"])
            whole = isinstance(outline, dict)
            mask = rle_to_mask(outline) if whole else polygons_to_mask(outline, size)
            masks, name = found[image["file_name"]], names[record["category_id"]]
            masks[name] = masks[name] | mask if name in masks else mask
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{file} is not a COCO annotation file ({reason})") from None
    order = sorted(found)
    np.random.default_rng(SEED).shuffle(order)
    asked = [
        (name, [(f"the {c}", m) for c, m in found[name].items() if m.mean() > SMALLEST_SHARE])
        for name in order
    ]
    return [(name, questions) for name, questions in asked if questions]


def answer(
    load: Callable[[], Segmenter], image: Image, questions: list[Question], file: Path
) -> Float32[np.ndarray, "questions rows cols"]:
    """The model's probabilities, asked for only once."""
    if not file.exists():
        answers = load().segment_many(image, [expression for expression, _ in questions])
        with file.open("wb") as written:
            np.save(written, np.stack([found.probability for found in answers]))
    kept: Float32[np.ndarray, "questions rows cols"] = np.load(file, allow_pickle=False)
    if len(kept) != len(questions):
        raise InputError(f"{file} holds {len(kept)} answers, of other questions; delete it")
    return kept


def bicubic(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> RefinedMask:
    """Interpolated and cut at one half; an empty answer stays empty."""
    del image
    mask = probability_to_mask(probability, size, "bicubic")
    return RefinedMask(mask if (probability >= 0.5).any() else np.zeros_like(mask))


def measure(arguments: argparse.Namespace) -> list[Record]:
    """One record for each question and refiner."""
    from rich.console import Console
    from rich.progress import track

    titles = arguments.refiners.split(",")
    refiners = {
        title: FunctionRefiner(bicubic) if title == "bicubic" else get_refiner(title)
        for title in titles
    }
    images = read_questions(arguments.coco)[: arguments.limit]
    arguments.answers.mkdir(parents=True, exist_ok=True)
    load = cache(lambda: Segmenter.from_pretrained(arguments.model))
    until = time.monotonic() + 60 * arguments.minutes
    records = []
    bar = Console(stderr=True)
    for name, questions in track(images, "images", console=bar, disable=not sys.stderr.isatty()):
        if time.monotonic() > until:
            break
        image = open_image(arguments.images / name)
        answers = answer(load, image, questions, arguments.answers / f"{name}.npy")
        for title, refiner in refiners.items():
            if arguments.features:
                keep_features(refiner, arguments.features / f"{title}.{name}.npy")
            refine = refiner.prepare(image)
            for (expression, mask), probability in zip(questions, answers, strict=True):
                refined = refine(probability)
                records.append(
                    {
                        "image": name,
                        "expression": expression,
                        "refiner": title,
                        "iou": iou(refined.mask, mask),
                        "cells": float(mask.mean()) * probability.size,
                        "kept_coarse": bool(refined.notes),
                    }
                )
    return records


def summarize(records: Sequence[Record]) -> list[Record]:
    """Means by refiner, of all and of the large ones, and the gains over the first refiner."""
    if not records:
        return []
    base = records[0]["refiner"]
    plain = {(r["image"], r["expression"]): r["iou"] for r in records if r["refiner"] == base}
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        record["gain"] = record["iou"] - plain[record["image"], record["expression"]]
        groups[record["refiner"]].append(record)
    results = []
    for title, group in groups.items():
        large = [r for r in group if r["cells"] >= LARGE_CELLS]
        result = {"refiner": title, "questions": len(group), "large": len(large)}
        for key, some in (("", group), ("large ", large)):
            if some:
                result[f"{key}iou"] = float(np.mean([r["iou"] for r in some]))
                result[f"{key}gain"] = gain_of(some)
        result["kept coarse"] = float(np.mean([r["kept_coarse"] for r in group]))
        results.append(result)
    return results


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "| refiner | questions | IoU | gain | large | IoU | gain | kept coarse |",
        "|---" * 8 + "|",
    ]
    for result in report["results"]:
        cells = [result["refiner"]]
        for key, count in (("", "questions"), ("large ", "large")):
            value = result.get(f"{key}iou")
            cells += [str(result[count]), "–" if value is None else f"{value:.3f}"]
            cells.append(gain(result.get(f"{key}gain")))
        lines.append(f"| {' | '.join(cells)} | {result['kept coarse']:.0%} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What refiners add to a model's answers.")
    add = parser.add_argument
    add("--coco", type=Path, required=True, help="annotation file (instances_*.json)")
    add("--images", type=Path, required=True, help="the images' folder")
    add("--answers", type=Path, required=True, help="folder that keeps the model's answers")
    add("--model", default="nano", help="nano, or a model's folder")
    add("--refiners", default="none,bicubic,smooth,crf,sam", help="gains are over the first")
    add("--features", type=Path, help="folder that keeps MobileSAM's features between runs")
    add("--minutes", type=float, default=1e6, help="stop after so many, at the next image")
    add("--limit", type=int, help="only so many images")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        results = summarize(measure(parsed))
    except Text4SegError as error:
        print(f"refine_answers: {error}", file=sys.stderr)
        return 1
    report = {"benchmark": "refine_answers", "coco": parsed.coco.name, "model": parsed.model}
    print(
        json.dumps(report | {"results": results}, indent=1)
        if parsed.json
        else table({"results": results})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
