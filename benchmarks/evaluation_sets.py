"""Make the evaluation sets of nano from photos with masks: lines that `text4seg evaluate` reads.

    python benchmarks/evaluation_sets.py --data DIR --out DIR

Set `coco`: each class present in a photo of `coco/instances_val.json`, all its instances (crowds
too) together, where they cover over 0.5 % of the image. Set `clothing`: each garment and body part
likewise. In both, two classes a photo that were annotated and are not there: their mask is null.
The draw is seeded.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.core.files import write_atomically
from text4seg.core.geometry import polygons_to_mask
from text4seg.core.rle import mask_to_rle, rle_to_mask
from text4seg.core.types import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALLEST_SHARE = 0.005
ABSENT_A_PHOTO = 2
SEED = 2026


def coco_masks(root: Path) -> Iterator[tuple[str, dict[str, np.ndarray], list[str]]]:
    """Photo (relative to root), masks by class, all annotated classes."""
    document = json.loads((root / "coco" / "instances_val.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    for image in document["images"]:
        size = Size(image["height"], image["width"])
        masks: dict[str, np.ndarray] = {}
        for record in document["annotations"]:
            if record["image_id"] == image["id"]:
                name, outline = names[record["category_id"]], record["segmentation"]
                mask = (
                    rle_to_mask(outline)
                    if isinstance(outline, dict)
                    else polygons_to_mask(outline, size)
                )
                masks[name] = masks[name] | mask if name in masks else mask
        yield f"coco/images/{image['file_name']}", masks, sorted(names.values())


def clothing_masks(root: Path) -> Iterator[tuple[str, dict[str, np.ndarray], list[str]]]:
    from PIL import Image

    document = json.loads((root / "clothing" / "index.json").read_text())
    labels: list[str] = document["labels"]
    for stem in document["val"]:
        pixels = np.asarray(Image.open(root / "clothing" / "masks" / f"{stem}.png"))
        masks = {labels[value]: pixels == value for value in np.unique(pixels) if value}
        yield f"clothing/images/{stem}.jpg", masks, labels[1:]


def lines(root: Path, name: str) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(SEED)
    for photo, masks, annotated in {"coco": coco_masks, "clothing": clothing_masks}[name](root):
        for label, mask in masks.items():
            if mask.mean() > SMALLEST_SHARE:
                yield {
                    "image": photo,
                    "expression": f"the {label}",
                    "mask": mask_to_rle(mask),
                    "set": name,
                }
        missing = [label for label in annotated if label not in masks]
        for label in random.choice(missing, ABSENT_A_PHOTO, replace=False):
            yield {"image": photo, "expression": f"the {label}", "mask": None, "set": name}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the evaluation sets of nano.")
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/ and clothing/")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for coco.jsonl and clothing.jsonl"
    )
    arguments = parser.parse_args()
    for name in ("coco", "clothing"):
        records = list(lines(arguments.data, name))
        arguments.out.mkdir(parents=True, exist_ok=True)
        file = arguments.out / f"{name}.jsonl"
        write_atomically(file, "".join(json.dumps(record) + "\n" for record in records).encode())
        present = sum(record["mask"] is not None for record in records)
        print(f"{file}: {present} present, {len(records) - present} absent")


if __name__ == "__main__":
    main()
