"""The evaluation sets hold what is there, and some of what is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import evaluation_sets
from text4seg.core.rle import mask_to_rle, rle_to_mask
from text4seg.data import read_jsonl

SIDE = 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A photo of COCO with two cats, a crowd of people and a speck; one of clothing."""
    people = np.zeros((SIDE, SIDE), dtype=bool)
    people[:, 30:] = True
    records = [
        {"image_id": 1, "category_id": 2, "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]},
        {"image_id": 1, "category_id": 2, "segmentation": [[5, 0, 15, 0, 15, 10, 5, 10]]},
        {"image_id": 1, "category_id": 1, "segmentation": mask_to_rle(people), "iscrowd": 1},
        {"image_id": 1, "category_id": 5, "segmentation": [[0, 38, 2, 38, 2, 40, 0, 40]]},
    ]
    names = ["person", "cat", "dog", "cup", "tie"]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": SIDE, "width": SIDE}],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": records,
    }
    (tmp_path / "coco" / "images").mkdir(parents=True)
    (tmp_path / "coco" / "instances_val.json").write_text(json.dumps(document))
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[:20] = 2
    for folder in ("masks", "images"):
        (tmp_path / "clothing" / folder).mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "clothing" / "masks" / "7.png")
    index = {"labels": ["null", "hat", "dress", "boots"], "val": ["7"], "train": ["8"]}
    (tmp_path / "clothing" / "index.json").write_text(json.dumps(index))
    for path in ("coco/images/a.jpg", "clothing/images/7.jpg"):
        Image.new("RGB", (SIDE, SIDE)).save(tmp_path / path)
    return tmp_path


def test_present_classes_come_whole_and_absent_ones_as_null(root: Path) -> None:
    found = list(evaluation_sets.lines(root, "coco"))
    present = {line["expression"]: rle_to_mask(line["mask"]) for line in found if line["mask"]}
    assert present.keys() == {"the cat", "the person"}, "a speck is neither"
    assert present["the cat"].sum() == 150, "all instances together"
    assert present["the person"][:, 30:].all(), "crowds too"
    absent = {line["expression"] for line in found if line["mask"] is None}
    assert absent == {"the dog", "the cup"}
    assert {line["image"] for line in found} == {"coco/images/a.jpg"}


def test_garments_are_read_off_the_label_map(root: Path) -> None:
    found = list(evaluation_sets.lines(root, "clothing"))
    assert [line["expression"] for line in found if line["mask"]] == ["the dress"]
    assert {line["expression"] for line in found if not line["mask"]} == {"the hat", "the boots"}


def test_the_files_are_what_evaluate_reads(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = root / "sets"
    monkeypatch.setattr(sys, "argv", ["x", "--data", str(root), "--out", str(out)])
    evaluation_sets.main()
    assert "2 present, 2 absent" in capsys.readouterr().out
    (sample,) = read_jsonl(out / "coco.jsonl", root)
    assert [asked.expression for asked in sample.asked if asked.mask is not None] == [
        "the cat",
        "the person",
    ]
    before = (out / "coco.jsonl").read_bytes()
    evaluation_sets.main()
    assert (out / "coco.jsonl").read_bytes() == before, "the draw is seeded"
