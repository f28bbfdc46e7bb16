from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.data.conftest import (
    CORNER,
    SQUARE,
    annotation,
    coco_document,
    write_image,
    write_json,
)
from text4seg.data import read_dataset


def lvis_document() -> dict[str, Any]:
    document = coco_document()
    for image in document["images"]:
        name = image.pop("file_name")
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{name}"
        image["neg_category_ids"] = [1]
        image["not_exhaustive_category_ids"] = []
    document["categories"][0] |= {"synonyms": ["dog", "hound"], "frequency": "f"}
    document["categories"][1] |= {"name": "bow_(weapon)", "synonyms": ["bow_(weapon)"]}
    return document


def test_lvis_knows_synonyms_and_absences(tmp_path: Path) -> None:
    write_json(tmp_path / "lvis_v1_train.json", lvis_document())
    for file in ("a.png", "b.png"):
        write_image(tmp_path / "train2017" / file)
    first, _ = reading = read_dataset("lvis", tmp_path)
    assert [one.expression for one in first.targets] == ["dog", "bow (weapon)"]
    assert first.targets[0].synonyms == ("hound",)
    assert first.absent == ("person",)
    assert reading.report.skipped == {}


def test_paco_has_parts(tmp_path: Path) -> None:
    document = coco_document()
    document["categories"][1] |= {"name": "dog:left_ear", "supercategory": "PART"}
    document["annotations"].append(annotation(104, 7, 58, SQUARE, CORNER, obj_ann_id=100))
    write_json(tmp_path / "annotations" / "paco_lvis_v1_val.json", document)
    for file in ("a.png", "b.png"):
        write_image(tmp_path / "images" / file)
    sample, _ = read_dataset("paco-lvis", tmp_path, split="val", images=tmp_path / "images")
    kinds = [(one.expression, one.kind, one.whole) for one in sample.targets]
    assert kinds == [("dog", "class", ""), ("left ear of the dog", "part", "dog")]
