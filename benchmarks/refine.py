"""What a refiner adds, true grids given, so that nothing but the refiner is judged.

    python benchmarks/refine.py --coco instances_val.json --images DIR

Objects over 0.5 % of their image, at most --per-image of one photo, drawn with a fixed seed. Each
is laid on the grid in five ways: `soft` is the true coverage of each cell (what a model's
probabilities stand for at best), `hard` a yes or no of half a cell; `flipped` is hard with cells at
the border flipped with p = .2, `spurious` hard with a false 2 x 2 block, `halved` hard without the
lower half of its rows. Means of the IoU over pixels, by size of the object and shape of the photo.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32

from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage, polygons_to_mask
from text4seg.core.rle import rle_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.metrics import iou
from text4seg.pictures import open_image
from text4seg.refine import Refiner, get_refiner, open_photo
from text4seg.refine.sam import SamRefiner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image

SMALLEST_SHARE = 0.005
SEED = 0
BINS = (("0.5-2 %", 0.02), ("2-8 %", 0.08), ("8-32 %", 0.32), ("over 32 %", 2.0))
SHAPES = (("portrait", 0.9), ("square", 1.15), ("4:3", 1.42), ("3:2", 1.6), ("16:9", 99.0))
INPUTS = ("soft", "hard", "flipped", "spurious", "halved")

FEATURES = "image_embeddings"

Cells = Float32[np.ndarray, "rows cols"]


def read_objects(file: Path, per_image: int) -> list[tuple[str, list[Bool[np.ndarray, "h w"]]]]:
    """Photos in a seeded order, each with some of its objects; no crowds."""
    try:
        document = json.loads(file.read_text())
        photos = {photo["id"]: photo for photo in document["images"]}
        objects: dict[str, list[Bool[np.ndarray, "h w"]]] = defaultdict(list)
        for record in document["annotations"]:
            if not record.get("iscrowd"):
                photo, outline = photos[record["image_id"]], record["segmentation"]
                size = Size(photo["height"], photo["width"])
                whole = isinstance(outline, dict)
                mask = rle_to_mask(outline) if whole else polygons_to_mask(outline, size)
                if mask.mean() > SMALLEST_SHARE:
                    objects[photo["file_name"]].append(mask)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{file} is not a COCO annotation file ({reason})") from None
    random = np.random.default_rng(SEED)
    names = sorted(objects)
    random.shuffle(names)
    for name in names:
        random.shuffle(objects[name])
    return [(name, objects[name][:per_image]) for name in names]


def lay(
    mask: Bool[np.ndarray, "h w"], shape: GridShape, random: np.random.Generator
) -> Iterator[tuple[str, Cells]]:
    """The mask on the grid, each way."""
    coverage = mask_to_coverage(mask, shape)
    cells = coverage_to_cells(coverage)
    # Held on the grid's side of one half, as the segmenter holds a model's probabilities.
    below = np.nextafter(np.float32(0.5), np.float32(0))
    yield "soft", np.where(cells, np.maximum(coverage, 0.5), np.minimum(coverage, below))
    yield "hard", cells.astype(np.float32)
    padded = np.pad(cells, 1, mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    border = np.any([side != cells for side in around], axis=0)
    flipped = cells ^ (border & (random.random(cells.shape) < 0.2))
    yield "flipped", (flipped if flipped.any() else cells).astype(np.float32)
    row, col = (int(random.integers(0, n - 1)) for n in cells.shape)
    spurious = cells.copy()
    spurious[row : row + 2, col : col + 2] = True
    yield "spurious", spurious.astype(np.float32)
    rows = np.flatnonzero(cells.any(axis=1))
    halved = cells.copy()
    halved[rows[0] + -(-len(rows) // 2) :] = False
    yield "halved", halved.astype(np.float32)


def keep_features(refiner: Refiner, file: Path) -> None:
    """Let a refiner with MobileSAM read the photo's features from a file, or write them there."""
    if not isinstance(refiner, SamRefiner):
        return
    import torch

    from text4seg.pretrained.sam import Features

    sam = refiner.sam
    encode = type(sam).encode

    def kept(image: Image) -> Features:
        if not file.exists():
            np.save(file, encode(sam, image).given[FEATURES].half().numpy())
        given = {FEATURES: torch.from_numpy(np.load(file)).float()}
        return Features(given, sam.frame(Size(image.height, image.width)))

    sam.encode = kept  # type: ignore[method-assign]


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One record for each object, way and refiner."""
    from rich.console import Console
    from rich.progress import track

    shape = GridShape.parse(arguments.grid)
    inputs = arguments.inputs.split(",")
    refiners = {name: get_refiner(name) for name in arguments.refiners.split(",")}
    photos = read_objects(arguments.coco, arguments.per_image)[: arguments.limit]
    if not photos:
        raise InputError(f"{arguments.coco} holds no object over {SMALLEST_SHARE:.1%} of its image")
    random = np.random.default_rng(SEED)
    records = []
    bar = Console(stderr=True)
    for name, masks in track(photos, "photos", console=bar, disable=not sys.stderr.isatty()):
        image = open_image(arguments.images / name)
        if arguments.features:
            for title, refiner in refiners.items():
                keep_features(refiner, arguments.features / f"{title}.{name}.npy")
        opened = {title: open_photo(refiner, image) for title, refiner in refiners.items()}
        first = dict.fromkeys(refiners, True)
        for mask in masks:
            ways = dict(lay(mask, shape, random))
            for way in inputs:
                for title, refine in opened.items():
                    started = time.perf_counter(), time.process_time()
                    refined = refine(ways[way])
                    seconds = time.perf_counter() - started[0], time.process_time() - started[1]
                    records.append(
                        {
                            "refiner": title,
                            "input": way,
                            "iou": iou(refined.mask, mask),
                            "share": float(mask.mean()),
                            "aspect": image.width / image.height,
                            "kept_coarse": bool(refined.notes),
                            "first": first[title],
                            "seconds": seconds[0],
                            "processor_seconds": seconds[1],
                        }
                    )
                    first[title] = False
    return records


def summarise(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means by way and refiner."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        groups[record["input"], record["refiner"]].append(record)
    return [
        {
            "input": way,
            "refiner": refiner,
            "objects": len(group),
            "iou": float(np.mean([r["iou"] for r in group])),
            "by size": _by(group, "share", BINS),
            "by photo": _by(group, "aspect", SHAPES),
            "kept coarse": float(np.mean([r["kept_coarse"] for r in group])),
            "seconds a mask": _median([r["seconds"] for r in group if not r["first"]]),
            "processor seconds a mask": _median(
                [r["processor_seconds"] for r in group if not r["first"]]
            ),
            "processor seconds, first of a photo": _median(
                [r["processor_seconds"] for r in group if r["first"]]
            ),
        }
        for (way, refiner), group in groups.items()
    ]


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _by(
    group: list[dict[str, Any]], key: str, bins: Sequence[tuple[str, float]]
) -> dict[str, list[float]]:
    """Mean IoU and count in each bin; a bin ends where the next begins."""
    found: dict[str, list[float]] = {title: [] for title, _ in bins}
    for record in group:
        found[next(title for title, end in bins if record[key] < end)].append(record["iou"])
    return {t: [float(np.mean(values)), len(values)] for t, values in found.items() if values}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    titles = [title for title, _ in (*BINS, *SHAPES)]
    lines = [f"| input | refiner | IoU | {' | '.join(titles)} | kept coarse | s a mask |"]
    lines.append("|---" * (len(titles) + 5) + "|")
    for result in report["results"]:
        bins = {**result["by size"], **result["by photo"]}
        values = [f"{bins[title][0]:.3f}" if title in bins else "-" for title in titles]
        seconds = result["processor seconds a mask"]
        lines.append(
            f"| {result['input']} | {result['refiner']} | {result['iou']:.3f} | "
            f"{' | '.join(values)} | {result['kept coarse']:.1%} | "
            f"{'-' if seconds is None else format(seconds, '.2f')} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What refiners add to true grids.")
    add = parser.add_argument
    add("--coco", type=Path, required=True, help="annotation file (instances_*.json)")
    add("--images", type=Path, required=True, help="the photos' folder")
    add("--grid", default="16x16", help="ROWSxCOLS")
    add("--refiners", default="none,smooth,crf,sam", help="several with commas")
    add("--inputs", default=",".join(INPUTS), help="several with commas")
    add("--per-image", type=int, default=3, help="most objects of one photo (3)")
    add("--features", type=Path, help="folder that keeps MobileSAM's features between runs")
    add("--limit", type=int, help="only so many photos")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        if unknown := set(parsed.inputs.split(",")) - set(INPUTS):
            raise InputError(f"unknown inputs {sorted(unknown)}; known: {', '.join(INPUTS)}")
        results = summarise(measure(parsed))
    except Text4SegError as error:
        print(f"refine: {error}", file=sys.stderr)
        return 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report = {
        "coco": parsed.coco.name,
        "grid": parsed.grid,
        "per_image": parsed.per_image,
        "photos": parsed.limit,
        "seed": SEED,
        "peak_memory_mb": round(peak),
        "results": results,
    }
    print(json.dumps(report, indent=1) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
