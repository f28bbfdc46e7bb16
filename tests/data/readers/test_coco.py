from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.conftest import (
    SIZE,
    coco_document,
    write_image,
    write_json,
)
from text4seg.core.errors import InputError
from text4seg.data import MaskUnion, read_dataset


def test_a_class_is_asked_with_all_its_instances(coco: Path) -> None:
    reading = read_dataset("coco", coco)
    first, second = reading
    assert reading.classes == ("dog", "hot dog", "person")
    assert (first.image, first.size, first.id) == (coco.parent / "a.png", SIZE, "7")
    assert [(one.expression, one.kind, one.category) for one in first.targets] == [
        ("dog", "class", "dog"),
        ("hot dog", "class", "hot_dog"),
    ]
    dogs = first.targets[0]
    assert dogs.ids == ("100", "103")
    assert isinstance(dogs.mask, MaskUnion)
    assert [region.area() for region in dogs.mask.parts] == [400, 288]
    mask = dogs.to_mask(SIZE)
    assert mask[10:30, 10:30].all()
    assert mask[:12, 40:].all()
    assert mask.sum() == 688
    assert first.absent == ("person",)
    assert (second.id, second.absent) == ("3", ("hot dog", "person"))
    assert reading.report.to_json()["skipped"] == {}
    assert (reading.report.images, reading.report.expressions) == (2, 3)


def test_the_usual_folders_and_a_split(tmp_path: Path) -> None:
    write_json(tmp_path / "annotations" / "instances_val2017.json", coco_document())
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "val2017" / name)
    assert [sample.split for sample in read_dataset("coco", tmp_path, split="val2017")] == [
        "val2017"
    ] * 2
    with pytest.raises(InputError, match=r"none of annotations/instances_train\.json"):
        read_dataset("coco", tmp_path, split="train")
