"""Small masks, label images and records that the tests of several readers use."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.conftest import SIZE, coco_document, write_image, write_json
from text4seg.core.types import Size
from text4seg.data import Sample

MASK = np.zeros((SIZE.height, SIZE.width), dtype=bool)
MASK[10:30, 10:30] = True

LABELS = np.zeros((SIZE.height, SIZE.width), dtype=np.uint8)
LABELS[:20, :32] = 1
LABELS[20:, 10:30] = 2
LABELS[-4:, -4:] = 255


def label_map(path: Path, values: np.ndarray = LABELS, mode: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    if mode == "P":
        picture = picture.convert("P") if values.max() < 2 else Image.fromarray(values, mode="L")
        picture.putpalette([value for at in range(256) for value in (at, 255 - at, at // 2)])
    picture.save(path)
    return path


def words(sample: Sample) -> dict[str, int]:
    size = sample.size or Size(1, 1)
    return {one.expression: int(one.to_mask(size).sum()) for one in sample.targets}


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def rows_with_images() -> list[dict[str, Any]]:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    image = {"bytes": png(noise), "path": "a.png"}
    return [
        {
            "image": image,
            "mask": {"bytes": png(MASK.astype(np.uint8)), "path": None},
            "text": "dog",
        },
        {"image": image, "mask": None, "text": "cat"},
        {"image": {"bytes": b"rubbish", "path": "b.png"}, "mask": None, "text": "cow"},
    ]


def ref(number: int, ann: Any, image: int, split: str, *sentences: str, **more: Any) -> dict:
    sents = [
        {"sent": one, "raw": one, "sent_id": 10 * number + at, "tokens": one.split()}
        for at, one in enumerate(sentences)
    ]
    return {
        "ref_id": number, "ann_id": ann, "image_id": image, "category_id": 18, "split": split,
        "file_name": "COCO_train2014_000000000007_1.jpg", "sentences": sents,
        "sent_ids": [one["sent_id"] for one in sents],
    } | more  # fmt: skip


def refer_folder(root: Path, name: str, images: str) -> Path:
    document = coco_document()
    for at, record in enumerate(document["annotations"]):
        record["bbox"] = [10, 10, 20, 20 + at]
    write_json(root / name / "instances.json", document)
    for seed, file in enumerate(("a.png", "b.png")):
        write_image(root / images / file, seed=seed)
    return root / name


REFS = [
    ref(1, 100, 7, "train", "the left dog", "dog by the wall"),
    ref(2, 101, 3, "val", "only dog"),
    ref(3, 103, 7, "train", "dog in the corner"),
]
