from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.data.conftest import SIZE, SQUARE, write_image, write_json
from tests.data.readers.helpers import (
    MASK,
    words,
)
from text4seg.data import read_dataset


def encode_brush(values: np.ndarray) -> list[int]:
    """Label Studio's code of these bytes, written plainly: runs with 16-bit counts."""
    bits = (
        f"{len(values):032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (4, 8, 12, 16))
    )
    at = 0
    while at < len(values):
        end = at
        while end < len(values) and values[end] == values[at] and end - at < 2**16:
            end += 1
        bits += "1" + "11" + f"{end - at - 1:016b}" + f"{values[at]:08b}"
        at = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def test_label_studio(tmp_path: Path) -> None:
    write_image(tmp_path / "upload" / "a.png")
    rgba = np.repeat(MASK.reshape(-1, 1), 4, axis=1).astype(np.uint8).ravel() * 255
    size = {"original_width": 64, "original_height": 48, "image_rotation": 0, "to_name": "image"}
    square = [[x / 64 * 100, y / 48 * 100] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]
    results: list[dict[str, Any]] = [
        {"id": "r1", "type": "polygonlabels",
         "value": {"points": square, "polygonlabels": ["dog"]}},
        {"id": "r2", "type": "brushlabels",
         "value": {"format": "rle", "rle": encode_brush(rgba), "brushlabels": ["wet_cat"]}},
        {"id": "r3", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["dog"]}},
        {"id": "r4", "type": "brushlabels", "value": {"rle": [1, 2, 3], "brushlabels": ["dog"]}},
        {"id": "r5", "type": "choices", "value": {"choices": ["good"]}},
    ]  # fmt: skip
    task = {
        "id": 17,
        "data": {"image": "/data/upload/3/1a2b3c4d-a.png"},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {"was_cancelled": False, "result": [size | one for one in results]},
        ],
    }
    broken = {"id": 18, "data": {}, "annotations": []}
    file = write_json(tmp_path / "export.json", [task, broken])
    reading = read_dataset("label-studio", file, images=tmp_path / "upload")
    (sample,) = reading
    assert words(sample) == {"dog": 400, "wet cat": 400}
    assert (sample.id, sample.size) == ("17", SIZE)
    assert reading.report.skipped == {"no mask": 1, "bad run lengths": 1, "bad record": 1}
