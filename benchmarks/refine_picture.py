"""Draw docs/refine.png: true grids of example images as each refiner makes pixels of them.

python -m benchmarks.refine_picture --out docs/refine.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from text4seg.core.geometry import mask_to_coverage
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape
from text4seg.images import draw_overlay, open_image
from text4seg.metrics import iou
from text4seg.refine import get_refiner

EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"
SHOWN = (("coffee.jpg", "the spoon"), ("astronaut.jpg", "the person"))
REFINERS = ("none", "smooth", "sam")
GRID = GridShape(16, 16)
WIDTH = 360


def true_mask(image: str, expression: str) -> np.ndarray:
    for line in (EXAMPLES / "examples.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if (record["image"], record["expression"]) == (image, expression):
            return rle_to_mask(record["mask"])
    raise LookupError(f"no {expression!r} of {image} in {EXAMPLES / 'examples.jsonl'}")


def row(image_name: str, expression: str) -> Image.Image:
    """One image, refined by each: the cells outlined as `none` shows them, pixels by the others."""
    image, truth = open_image(EXAMPLES / image_name), true_mask(image_name, expression)
    coverage = mask_to_coverage(truth, GRID).astype(np.float32)
    drawn = []
    for name in REFINERS:
        mask = get_refiner(name).prepare(image)(coverage).mask
        caption = f"{name}, IoU {iou(mask, truth):.2f}"
        picture = draw_overlay(image, mask, caption=caption)
        drawn.append(picture.resize((WIDTH, round(WIDTH * picture.height / picture.width))))
    sheet = Image.new("RGB", (WIDTH * len(drawn), drawn[0].height))
    for place, picture in enumerate(drawn):
        sheet.paste(picture, (place * WIDTH, 0))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw what refiners make of true grids.")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    arguments = parser.parse_args()
    rows = [row(*shown) for shown in SHOWN]
    sheet = Image.new("RGB", (rows[0].width, sum(one.height for one in rows)))
    top = 0
    for one in rows:
        sheet.paste(one, (0, top))
        top += one.height
    sheet.quantize(128).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
