"""Small data sets in their true layouts, written by the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from text4seg.core.types import Size

SIZE = Size(48, 64)
SQUARE = [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]
"""20 x 20 pixels."""
CORNER = [40.0, 0.0, 64.0, 0.0, 64.0, 12.0, 40.0, 12.0]
"""24 x 12 pixels."""


def write_image(path: Path, size: Size = SIZE, seed: int = 0) -> Path:
    """A small image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def write_json(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def annotation(number: int, image: int, category: int, *polygons: list[float], **more: Any) -> dict:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "segmentation": list(polygons),
    } | more


def coco_document() -> dict[str, Any]:
    """Two images: in the first two dogs and a hot dog, in the second one dog."""
    return {
        "info": {"description": "made by a test"},
        "images": [
            {"id": 7, "file_name": "a.png", "height": SIZE.height, "width": SIZE.width},
            {"id": 3, "file_name": "b.png", "height": SIZE.height, "width": SIZE.width},
        ],
        "annotations": [
            annotation(100, 7, 18, SQUARE),
            annotation(101, 3, 18, SQUARE),
            annotation(102, 7, 58, [0.0, 40.0, 20.0, 40.0, 20.0, 48.0, 0.0, 48.0]),
            annotation(103, 7, 18, CORNER),
        ],
        "categories": [
            {"id": 18, "name": "dog", "supercategory": "animal"},
            {"id": 58, "name": "hot_dog", "supercategory": "food"},
            {"id": 1, "name": "person", "supercategory": "person"},
        ],
    }


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A COCO file with its images beside it."""
    for seed, name in enumerate(("a.png", "b.png")):
        write_image(tmp_path / "coco" / name, seed=seed)
    return write_json(tmp_path / "coco" / "instances.json", coco_document())


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A COCO file of forty images, in turn two of a kind."""
    document = coco_document()
    document["images"], document["annotations"] = [], []
    for number in range(40):
        name = f"{number:02d}.png"
        write_image(tmp_path / "many" / name, seed=number)
        image = {"id": number, "file_name": name, "height": SIZE.height, "width": SIZE.width}
        document["images"].append(image)
        moved = [value + number % 7 for value in SQUARE]
        document["annotations"].append(annotation(number, number, (18, 58)[number % 2], moved))
    return write_json(tmp_path / "many" / "instances.json", document)
