"""What a refiner adds, true grids given, so that nothing but the refiner is judged.

    python benchmarks/refine.py --coco instances_val.json --images DIR

Objects over 0.5 % of their image, at most --per-image of one image, drawn with a fixed seed. Each
is laid on the grid in five ways: `soft` is the true coverage of each cell (what a model's
probabilities stand for at best), `hard` a yes or no of half a cell; `flipped` is hard with cells at
the border flipped with p = .2, `spurious` hard with a false 2 x 2 block, `halved` hard without the
lower half of its rows. Means of the IoU over pixels, by size of the object and shape of the image;
gains over `none` of the same input with 95 % intervals (the images drawn again 2,000 times).

Each refiner runs in a process of its own, so that its peak memory is its own. With --records a run
that was stopped, or stopped itself after --minutes, goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32

from benchmarks.refine_tables import table
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage, polygons_to_mask
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.images import open_image
from text4seg.metrics import iou
from text4seg.refine import Refiner, get_refiner
from text4seg.refine.sam_refiner import SamRefiner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image

SMALLEST_SHARE = 0.005
SEED = 0
BINS = (("0.5-2 %", 0.02), ("2-8 %", 0.08), ("8-32 %", 0.32), ("over 32 %", 2.0))
SHAPES = (("portrait", 0.9), ("square", 1.15), ("4:3", 1.42), ("3:2", 1.6), ("16:9", 99.0))
INPUTS = ("soft", "hard", "flipped", "spurious", "halved")

RESAMPLES = 2000
FEATURES = "image_embeddings"

Cells = Float32[np.ndarray, "rows cols"]


def read_objects(file: Path, per_image: int) -> list[tuple[str, list[Bool[np.ndarray, "h w"]]]]:
    """Images in a seeded order, each with some of its objects; no crowds."""
    try:
        document = json.loads(file.read_text())
        images = {image["id"]: image for image in document["images"]}
        objects: dict[str, list[Bool[np.ndarray, "h w"]]] = defaultdict(list)
        for record in document["annotations"]:
            if not record.get("iscrowd"):
                image, outline = images[record["image_id"]], record["segmentation"]
                size = Size(image["height"], image["width"])
                whole = isinstance(outline, dict)
                mask = rle_to_mask(outline) if whole else polygons_to_mask(outline, size)
                if mask.mean() > SMALLEST_SHARE:
                    objects[image["file_name"]].append(mask)
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
    """Let a refiner with MobileSAM read the image's features from a file, or write them there."""
    if not isinstance(refiner, SamRefiner):
        return
    import torch

    from text4seg.pretrained.sam import ImageFeatures

    sam = refiner.sam
    encode = type(sam).encode

    def kept(image: Image) -> ImageFeatures:
        if not file.exists():
            np.save(file, encode(sam, image).given[FEATURES].half().numpy())
        given = {FEATURES: torch.from_numpy(np.load(file)).float()}
        return ImageFeatures(given, sam.frame(Size(image.height, image.width)))

    sam.encode = kept  # type: ignore[method-assign]


Record = dict[str, Any]


def measure_image(
    name: str,
    masks: list[Bool[np.ndarray, "h w"]],
    title: str,
    refiner: Refiner,
    arguments: argparse.Namespace,
) -> Iterator[Record]:
    """One record for each object and way."""
    shape = GridShape.parse(arguments.grid)
    image = open_image(arguments.images / name)
    if arguments.features:
        keep_features(refiner, arguments.features / f"{title}.{name}.npy")
    refine = refiner.prepare(image)
    first = True
    for number, mask in enumerate(masks):
        # Each object has its own chance, so that a run may stop and go on.
        random = np.random.default_rng([SEED, zlib.crc32(name.encode()), number])
        ways = dict(lay(mask, shape, random))
        for way in arguments.inputs.split(","):
            started = time.perf_counter(), time.process_time()
            refined = refine(ways[way])
            seconds = time.perf_counter() - started[0], time.process_time() - started[1]
            yield {
                "refiner": title,
                "image": name,
                "object": number,
                "input": way,
                "iou": iou(refined.mask, mask),
                "share": float(mask.mean()),
                "aspect": image.width / image.height,
                "kept_coarse": bool(refined.notes),
                "first": first,
                "encoded": not arguments.features,
                "seconds": seconds[0],
                "processor_seconds": seconds[1],
            }
            first = False


def measure(title: str, arguments: argparse.Namespace, file: Path, until: float) -> None:
    """Write one refiner's records to the file, an image at a time, and its peak memory."""
    from rich.console import Console
    from rich.progress import track

    images = read_objects(arguments.coco, arguments.per_image)[: arguments.limit]
    done = {
        record["image"] for record in read_records(file, arguments) if record["refiner"] == title
    }
    images = [(name, masks) for name, masks in images if name not in done]
    refiner = get_refiner(title)
    bar = Console(stderr=True)
    for name, masks in track(images, title, console=bar, disable=not sys.stderr.isatty()):
        if time.monotonic() > until:
            break
        found = list(measure_image(name, masks, title, refiner, arguments))
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        with file.open("a") as written:
            written.writelines(json.dumps(r | {"peak_memory_mb": peak}) + "\n" for r in found)


def measure_all(arguments: argparse.Namespace, file: Path) -> list[Record]:
    """Every refiner in a process of its own."""
    until = time.monotonic() + 60 * arguments.minutes
    titles = arguments.refiners.split(",")
    for title in titles:
        get_refiner(title)  # a wrong name is told before anything is measured, as wrong records
    read_records(file, arguments)
    for title in titles:
        process = multiprocessing.get_context("spawn").Process(
            target=measure, args=(title, arguments, file, until)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise InputError(f"measuring {title} failed; its error stands above")
    records = [record for record in read_records(file, arguments) if record["refiner"] in titles]
    # Of a run that was stopped: the images that every refiner has seen.
    seen = [{r["image"] for r in records if r["refiner"] == title} for title in titles]
    common = set.intersection(*seen)
    return [record for record in records if record["image"] in common]


def read_records(file: Path, arguments: argparse.Namespace) -> list[Record]:
    """The records of the runs before, begun with what they are of; they must be of the same."""
    same = ("coco", "grid", "inputs", "per_image")
    wanted = {key: str(getattr(arguments, key)) for key in same}
    try:
        if not file.exists():
            file.write_text(json.dumps(wanted) + "\n")
        found, *records = (json.loads(line) for line in file.read_text().splitlines())
        differing = [
            f"{key} {wanted[key]}, not {found[key]}" for key in same if found[key] != wanted[key]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{file} holds no records of this benchmark ({reason})") from None
    if differing:
        raise InputError(f"{file} is of other measurements: asked for {', '.join(differing)}")
    return records


def summarize(records: Sequence[Record]) -> list[Record]:
    """Means by way and refiner."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    plain = {_object(r): r["iou"] for r in records if r["refiner"] == "none"}
    for record in records:
        if plain:
            record["gain"] = record["iou"] - plain[_object(record)]
        groups[record["input"], record["refiner"]].append(record)
    return [
        {
            "input": way,
            "refiner": refiner,
            "objects": len(group),
            "images": len({r["image"] for r in group}),
            "iou": float(np.mean([r["iou"] for r in group])),
            "by size": _by(group, "share", BINS),
            "by image": _by(group, "aspect", SHAPES),
            **(_gains(group) if plain else {}),
            "kept coarse": float(np.mean([r["kept_coarse"] for r in group])),
            "processor seconds a mask": _median(
                [r["processor_seconds"] for r in group if not r["first"]]
            ),
            "processor seconds, first of an image": _median(
                [r["processor_seconds"] for r in group if r["first"] and r["encoded"]]
            ),
            "peak_memory_mb": max(r["peak_memory_mb"] for r in group),
        }
        for (way, refiner), group in groups.items()
    ]


def _object(record: Record) -> tuple[Any, ...]:
    return record["image"], record["object"], record["input"]


def _gains(group: list[Record]) -> dict[str, Any]:
    """Mean gain over `none` and its interval: of all, and by shape of the image."""
    by_shape: dict[str, list[Record]] = {}
    for record in group:
        title = next(title for title, end in SHAPES if record["aspect"] < end)
        by_shape.setdefault(title, []).append(record)
    shapes = {title: gain_of(by_shape[title]) for title, _ in SHAPES if title in by_shape}
    return {"gain": gain_of(group), "gain by image": shapes}


def gain_of(group: list[Record]) -> list[float]:
    """Mean, and the ends of its interval; whole images are drawn, as their objects are alike."""
    images: dict[str, list[float]] = defaultdict(list)
    for record in group:
        images[record["image"]].append(record["gain"])
    sums = np.array([[sum(gains), len(gains)] for gains in images.values()])
    drawn = np.random.default_rng(SEED).integers(0, len(sums), (RESAMPLES, len(sums)))
    totals = sums[drawn].sum(axis=1)
    low, high = np.quantile(totals[:, 0] / totals[:, 1], [0.025, 0.975])
    return [float(sums[:, 0].sum() / sums[:, 1].sum()), float(low), float(high)]


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _by(group: list[Record], key: str, bins: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    """Mean IoU and count in each bin; a bin ends where the next begins."""
    found: dict[str, list[float]] = {title: [] for title, _ in bins}
    for record in group:
        found[next(title for title, end in bins if record[key] < end)].append(record["iou"])
    return {t: [float(np.mean(values)), len(values)] for t, values in found.items() if values}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What refiners add to true grids.")
    add = parser.add_argument
    add("--coco", type=Path, required=True, help="annotation file (instances_*.json)")
    add("--images", type=Path, required=True, help="the images' folder")
    add("--grid", default="16x16", help="ROWSxCOLS")
    add("--refiners", default="none,smooth,crf,sam", help="several with commas")
    add("--inputs", default=",".join(INPUTS), help="several with commas")
    add("--per-image", type=int, default=2, help="most objects of one image (2)")
    add("--features", type=Path, help="folder that keeps MobileSAM's features between runs")
    add("--records", type=Path, help="file that keeps what was measured, to go on from there")
    add("--minutes", type=float, default=1e6, help="stop after so many, at the next image")
    add("--limit", type=int, help="only so many images")
    add("--json", action="store_true", help="print JSON instead of a table")
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser.parse_args(given)
    try:
        if unknown := set(parsed.inputs.split(",")) - set(INPUTS):
            raise InputError(f"unknown inputs {sorted(unknown)}; known: {', '.join(INPUTS)}")
        GridShape.parse(parsed.grid)
        if not read_objects(parsed.coco, parsed.per_image)[: parsed.limit]:
            raise InputError(
                f"{parsed.coco} holds no object over {SMALLEST_SHARE:.1%} of its image"
            )
        with tempfile.TemporaryDirectory() as folder:
            file = parsed.records or Path(folder) / "records.jsonl"
            results = summarize(measure_all(parsed, file))
    except Text4SegError as error:
        print(f"refine: {error}", file=sys.stderr)
        return 1
    report = {
        "benchmark": "refine",
        "coco": parsed.coco.name,
        "grid": parsed.grid,
        "inputs": parsed.inputs,
        "refiners": parsed.refiners,
        "per_image": parsed.per_image,
        "limit": parsed.limit,
        "seed": SEED,
        "results": results,
    }
    print(json.dumps(report, indent=1) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
