"""The best IoU that a mask text can reach, and its tokens: by grid, rule and upsampling.

    python benchmarks/oracle.py --coco instances.json --tokenizer tokenizer.json --picture out.png

Every object is encoded as text, decoded to pixels and compared with itself. `hard` ways use the
cells of the text; `soft` ones use the true coverage of each cell, the best that a model's
probabilities can be. The rule `iou` takes the cells that fit the mask best. `box` is the box-wise
format. Tokens are those of the whole mask text with the class name as the label. Stars in the
picture are the three grids of Text4Seg, with its rule and upsampling.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotations import outline_to_rle, read_objects
from text4seg.codec.box import BOX
from text4seg.codec.rrle import RRLE
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.geometry import Rule, coverage_to_cells, mask_to_coverage, mask_to_grid
from text4seg.core.regions import masks_to_regions
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, Size
from text4seg.core.upsampling import cells_to_mask, probability_to_mask, scanline_mask
from text4seg.metrics import iou

GRIDS = ("16x16", "16x32", "16x64", "24x24", "24x96", "32x32", "32x64", "64x64")
BOX_GRIDS = ("8x8", "12x12", "16x16", "16x64")
PAPER = ("16x16", "24x24", "32x32")
THRESHOLDS = {"0.5, may vanish": 0.5, "0.3": 0.3, "0.4": 0.4, "0.5": 0.5, "0.6": 0.6}
RULES = ("center", *THRESHOLDS, "iou")
MAIN = ("0.5", "iou")  # the rules that every upsampling is measured with
BY_SIZE = (("rrle", "16x16"), ("rrle", "32x32"), ("box", "8x8"), ("box", "16x16"))
SIZES = {"under 0.5 %": 0.005, "0.5-2 %": 0.02, "2-10 %": 0.1, "over 10 %": 1.01}


def size_of(mask: np.ndarray) -> str:
    """The class of size of an object."""
    share = float(mask.mean())
    return next(name for name, most in SIZES.items() if share < most)


def hard_ways(cells: np.ndarray, size: Size) -> dict[str, np.ndarray]:
    """Upsamplings of yes and no."""
    probability = cells.astype(np.float32)
    return {
        "nearest": cells_to_mask(cells, size),
        "bilinear": probability_to_mask(probability, size, "bilinear"),
        "bicubic": probability_to_mask(probability, size, "bicubic"),
        "scanline": scanline_mask(cells, size),
    }


def cells_of(mask: np.ndarray, coverage: np.ndarray, rule: str) -> np.ndarray:
    """The cells by a rule."""
    if rule == "center":
        shape = GridShape(*coverage.shape)
        return mask_to_grid(mask, "a", shape, rule="center").select("a")
    if rule == "iou":
        return coverage_to_cells(coverage, "iou")
    keep = "vanish" not in rule
    return coverage_to_cells(coverage, threshold=THRESHOLDS[rule], keep_nonempty=keep)


def measure_object(label: str, mask: np.ndarray, shape: GridShape) -> dict[str, tuple[str, float]]:
    """By rule and upsampling: the text and the IoU."""
    size = Size(*mask.shape)
    coverage = mask_to_coverage(mask, shape)
    found = {}
    for rule in RULES:
        cells = cells_of(mask, coverage, rule)
        text = RRLE.encode(DescriptorGrid((OTHERS, label), cells.astype(np.int32)))
        ways = {"nearest": cells_to_mask(cells, size)}
        if rule in MAIN:
            ways = hard_ways(cells, size)
        if rule == "0.5":
            for how in ("bilinear", "bicubic"):
                ways[f"soft {how}"] = probability_to_mask(coverage, size, how)
        for way, again in ways.items():
            found[f"{rule} | {way}"] = (text, iou(again, mask))
    return found


def measure_box(label: str, mask: np.ndarray, shape: GridShape) -> dict[str, tuple[str, float]]:
    """The same for the box-wise format, blocks of pixels inside the box."""
    found = {}
    rules: dict[str, Rule] = {"0.5": "coverage", "iou": "iou"}
    for name, rule in rules.items():
        regions = masks_to_regions([(label, mask)], shape, rule)
        again = regions.mask(label, Size(*mask.shape))
        found[f"{name} | nearest"] = (BOX.encode(regions), iou(again, mask))
    return found


def measure(
    objects: list[tuple[str, np.ndarray]], grids: dict[str, Sequence[str]], count: Any
) -> list[dict[str, Any]]:
    """A row for each format, grid, rule, upsampling and size of object."""
    rows = []
    for form, names in grids.items():
        for name in names:
            shape = GridShape.parse(name)
            sums: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
            for label, mask in objects:
                one = measure_object if form == "rrle" else measure_box
                tokens: dict[str, int] = {}
                for way, (text, score) in one(label, mask, shape).items():
                    if text not in tokens:
                        tokens[text] = count(text)
                    for group in (size_of(mask), "all"):
                        sums[way, group].append((tokens[text], score))
            for (way, group), values in sums.items():
                mean = np.mean(values, axis=0)
                rule, how = way.split(" | ")
                rows.append(
                    {"format": form, "grid": name, "rule": rule, "upsampling": how, "size": group}
                    | {"objects": len(values), "tokens": round(float(mean[0]), 1)}
                    | {"iou": round(float(mean[1]), 4)}
                )
    return rows


def pareto(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that none beats in both tokens and IoU, by tokens."""
    front: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["tokens"], -row["iou"])):
        if not front or row["iou"] > front[-1]["iou"]:
            front.append(row)
    return front


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """IoU over tokens for all objects and for the small ones; needs matplotlib."""
    import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # type: ignore[import-not-found, unused-ignore]

    figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharey=True)
    small = "under 2 % of the image"
    for axis, title, groups in (
        (axes[0], "all objects", {"all"}),
        (axes[1], small, {"under 0.5 %", "0.5-2 %"}),
    ):
        points = merged([row for row in rows if row["size"] in groups])
        hard = [row for row in points if not row["upsampling"].startswith("soft")]
        for kind, color in (("rrle", "tab:blue"), ("box", "tab:orange")):
            chosen = [row for row in hard if row["format"] == kind]
            label = "grid over the image" if kind == "rrle" else "grid inside a box"
            axis.scatter(
                [r["tokens"] for r in chosen], [r["iou"] for r in chosen], 9, color, label=label
            )
        front = pareto(hard)
        axis.plot(
            [r["tokens"] for r in front], [r["iou"] for r in front], "k-", lw=1, label="Pareto"
        )
        soft = pareto([row for row in points if row["upsampling"] == "soft bicubic"])
        axis.plot(
            [r["tokens"] for r in soft], [r["iou"] for r in soft], "g--", lw=1, label="soft bicubic"
        )
        paper = [r for r in hard if r["grid"] in PAPER and r["rule"] == "center"]
        paper = [r for r in paper if r["upsampling"] == "nearest"]
        axis.plot(
            [r["tokens"] for r in paper], [r["iou"] for r in paper], "r*", ms=12, label="Text4Seg"
        )
        for row in [*front, *paper]:
            axis.annotate(row["grid"], (row["tokens"], row["iou"]), fontsize=7)
        axis.set(xscale="log", xlabel="tokens a mask", title=title)
        axis.grid(visible=True, alpha=0.3)
    axes[0].set_ylabel("oracle IoU")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def table(record: dict[str, Any]) -> str:
    """A record as Markdown: upsamplings by grid, then rules and formats by size of object."""
    rows = record["results"]
    cells = {
        (row["format"], row["grid"], row["rule"], row["upsampling"], row["size"]): row
        for row in rows
    }
    grids = list(dict.fromkeys((row["format"], row["grid"]) for row in rows))
    ways = list(dict.fromkeys(row["upsampling"] for row in rows))
    columns = [(rule, way) for rule in MAIN for way in ways]
    columns = [c for c in columns if any((*g, *c, "all") in cells for g in grids)]
    lines = [f"{record['objects']} objects of every size, mean tokens and IoU.", ""]
    lines.append("| | tokens | " + " | ".join(f"{way}, {rule}" for rule, way in columns) + " |")
    lines.append("|---" * (len(columns) + 2) + "|")
    for form, grid in grids:
        values = [cells.get((form, grid, *column, "all")) for column in columns]
        tokens = cells[form, grid, "0.5", "nearest", "all"]["tokens"]
        name = f"box, {grid}" if form == "box" else grid
        lines.append(f"| {name} | {tokens:.0f} | " + " | ".join(map(_iou, values)) + " |")
    sizes = [size for size in SIZES if any(row["size"] == size for row in rows)]
    counts = {row["size"]: row["objects"] for row in rows}
    lines += ["", "By size of the object (share of the image), nearest, IoU and tokens:", ""]
    lines.append("| | rule | " + " | ".join(f"{s} ({counts[s]})" for s in sizes) + " |")
    lines.append("|---" * (len(sizes) + 2) + "|")
    for form, grid in grids:
        if (form, grid) not in BY_SIZE:
            continue
        for rule in dict.fromkeys(row["rule"] for row in rows if row["format"] == form):
            found = [cells.get((form, grid, rule, "nearest", size)) for size in sizes]
            told = [f"{_iou(one)}, {one['tokens']:.0f}" if one else "–" for one in found]
            name = f"box, {grid}" if form == "box" else grid
            lines.append(f"| {name} | {rule} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def _iou(row: dict[str, Any] | None) -> str:
    return "–" if row is None else f"{row['iou']:.3f}".removeprefix("0")


def merged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Several sizes of object as one."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in ("format", "grid", "rule", "upsampling"))].append(row)
    found = []
    for parts in groups.values():
        count = sum(part["objects"] for part in parts)
        means = {
            key: sum(part[key] * part["objects"] for part in parts) / count
            for key in ("tokens", "iou")
        }
        found.append({**parts[0], "objects": count, **means})
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, draw; exit code 1 where the files cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json")
    parser.add_argument("--grid", default=",".join(GRIDS))
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        from tokenizers import Tokenizer

        if not options.tokenizer.is_file():
            raise InputError(f"there is no file {options.tokenizer}")
        tokenizer = Tokenizer.from_file(str(options.tokenizer))
        grids = [str(GridShape.parse(text)) for text in options.grid.split(",")]
        found = islice(read_objects(options.coco, 0.0), options.limit)
        objects = [(name, rle_to_mask(outline_to_rle(line, size))) for name, size, line in found]
        if not objects:
            raise InputError(f"{options.coco} holds no object")
    except Text4SegError as error:
        print(f"oracle: {error}", file=sys.stderr)
        return 1
    boxes = [name for name in BOX_GRIDS if name in grids or len(grids) > 1]
    rows = measure(
        objects,
        {"rrle": grids, "box": boxes or grids},
        lambda text: len(tokenizer.encode(text).ids),
    )
    if options.picture:
        draw(rows, options.picture)
    report = {
        "benchmark": "oracle",
        "objects": len(objects),
        "tokenizer": options.tokenizer.name,
        "results": rows,
    }
    print(json.dumps(report, indent=0) if options.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
