from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.conftest import (
    CORNER,
    SIZE,
    SQUARE,
    annotation,
    coco_document,
    write_image,
    write_json,
)
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.data import MaskUnion, RecordError, Selection, read_dataset


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


def test_what_is_wanted(coco: Path) -> None:
    def words(**wanted: Any) -> list[list[str]]:
        reading = read_dataset("coco", coco, selection=Selection(**wanted))
        return [[one.expression for one in sample.targets] for sample in reading]

    assert words(limit=1) == [["dog", "hot dog"]]
    assert words(classes=("hot_dog",)) == [["hot dog"]]
    assert words(min_area=161) == [["dog"], ["dog"]]
    assert words(min_area=0.2) == [["dog"]]


def with_annotation(**changes: Any) -> Callable[[dict], None]:
    return lambda document: document["annotations"][2].update(changes)


SMALL = mask_to_rle(np.ones((2, 2), dtype=bool))
SHORT = {"size": [48, 64], "counts": [5]}
FAULTS = [
    pytest.param(with_annotation(category_id=9), "unknown category id", id="category"),
    pytest.param(with_annotation(segmentation=[[1, 2, 3, 4]]), "bad polygon", id="two points"),
    pytest.param(with_annotation(segmentation=[[1, 2, "x", 4, 5, 6]]), "bad polygon", id="words"),
    pytest.param(
        with_annotation(segmentation=[[90, 90, 99, 90, 99, 99]]),
        "polygon outside the image",
        id="outside",
    ),
    pytest.param(with_annotation(segmentation=SMALL), "mask of another size", id="another size"),
    pytest.param(with_annotation(segmentation=SHORT), "bad run lengths", id="a wrong total"),
    pytest.param(with_annotation(segmentation=None), "no mask", id="no mask"),
    pytest.param(with_annotation(id=100), "duplicate id", id="an id twice"),
    pytest.param(with_annotation(image_id=4), "unknown image id", id="no such image"),
    pytest.param(with_annotation(image_id=None), "bad record", id="no image"),
]


@pytest.mark.parametrize(("change", "kind"), FAULTS)
def test_a_wrong_annotation_is_skipped_and_counted(coco: Path, change: Callable, kind: str) -> None:
    document = coco_document()
    change(document)
    write_json(coco, document)
    reading = read_dataset("coco", coco)
    words = [one.expression for sample in reading for one in sample.targets]
    assert words == ["dog", "dog"]
    assert reading.report.skipped == {kind: 1}
    (message,) = reading.report.messages[kind]
    assert str(coco) in message
    with pytest.raises(RecordError, match="coco") as caught:
        list(read_dataset("coco", coco, selection=Selection(strict=True)))
    assert caught.value.kind == kind


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


def test_a_file_cut_off(coco: Path) -> None:
    text = coco.read_text()
    coco.write_text(text[: text.index('"id": 102')])
    reading = read_dataset("coco", coco)
    assert reading.report.skipped == {"truncated JSON": 1}
    assert [sample.id for sample in reading] == []
    coco.write_text(text[:40])
    with pytest.raises(InputError, match="stops at byte 40"):
        read_dataset("coco", coco)


def test_images_need_not_be_there(coco: Path) -> None:
    (coco.parent / "a.png").unlink()
    assert len(list(read_dataset("coco", coco, selection=Selection(check_images=False)))) == 2


def test_wrong_calls(coco: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'coco'"):
        read_dataset("cocoo", coco)
    with pytest.raises(UnknownNameError, match="option of coco"):
        read_dataset("coco", coco, options={"x": "1"})
    with pytest.raises(InputError, match="is laid out as\nFILE"):
        read_dataset("coco", coco.parent / "none")
    with pytest.raises(InputError, match="no folder of images"):
        read_dataset("coco", coco, images="nowhere")
    coco.write_text(json.dumps({"annotations": []}))
    with pytest.raises(InputError, match="lists no image"):
        read_dataset("coco", coco)
