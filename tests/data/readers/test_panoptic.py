from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.data.conftest import SIZE, write_image, write_json
from tests.data.readers.helpers import (
    label_map,
    words,
)
from text4seg.data import read_dataset


def test_panoptic_segments_are_joined_by_class(tmp_path: Path) -> None:
    ids = np.zeros((SIZE.height, SIZE.width), dtype=np.int64)
    ids[:10], ids[10:20], ids[20:30] = 70_001, 513, 7
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    label_map(tmp_path / "annotations" / "panoptic_val2017" / "a.png", rgb)
    write_image(tmp_path / "val2017" / "a.png")
    segments = [
        {"id": 70_001, "category_id": 1, "iscrowd": 0, "area": 640, "bbox": [0, 0, 64, 10]},
        {"id": 513, "category_id": 1, "iscrowd": 0},
        {"id": 7, "category_id": 199, "iscrowd": 0},
        {"id": 99, "category_id": 1, "iscrowd": 0},
        {"id": 7, "category_id": 1000, "iscrowd": 0},
    ]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 48, "width": 64}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1},
            {"id": 199, "name": "wall-other-merged", "isthing": 0},
            {"id": 2, "name": "floor-wood", "isthing": 0},
        ],
    }
    write_json(tmp_path / "annotations" / "panoptic_val2017.json", document)
    (sample,) = reading = read_dataset("coco-panoptic", tmp_path, split="val2017")
    assert words(sample) == {"person": 20 * 64, "wall": 10 * 64}
    assert sample.absent == ("wood floor",)
    assert sample.void is not None
    assert sample.void.area() == 18 * 64
    assert reading.report.skipped == {"mask without a pixel": 1, "unknown category id": 1}
