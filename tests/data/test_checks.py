from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.conftest import (
    CORNER,
    SQUARE,
    annotation,
    coco_document,
    write_json,
)
from text4seg.data import read_dataset

IMAGES = [
    pytest.param(lambda image: image.update(file_name="../a.png"), "path outside the folder"),
    pytest.param(lambda image: image.update(file_name="/etc/passwd"), "path outside the folder"),
    pytest.param(lambda image: image.update(file_name="none.png"), "missing image"),
    pytest.param(lambda image: image.update(file_name="broken.png"), "broken image"),
    pytest.param(lambda image: image.update(height=47), "mask of another size"),
    pytest.param(lambda image: image.update(height=0), "bad record"),
    pytest.param(lambda image: image.pop("width"), "bad record"),
    pytest.param(lambda image: image.update(id=3), "duplicate id"),
]


@pytest.mark.parametrize(("change", "kind"), IMAGES)
def test_a_wrong_image_is_skipped_and_counted(coco: Path, change: Callable, kind: str) -> None:
    (coco.parent / "broken.png").write_bytes(b"no picture")
    document = coco_document()
    images = document["images"]
    images.append({**images[0], "id": 8})
    document["annotations"].append(annotation(104, 8, 18, SQUARE, CORNER))
    change(images[2])
    write_json(coco, document)
    reading = read_dataset("coco", coco)
    assert [sample.id for sample in reading] == ["7", "3"]
    assert reading.report.skipped[kind] == 1
