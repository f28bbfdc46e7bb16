"""The evaluation sets hold what is there, and some of what is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.nano.benchmarks import evaluation_sets
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.data import read_jsonl
from text4seg.models.nano.text.lexicon import imagenet_classes, taught_words

SIDE = 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image of COCO with two cats, a crowd of people and a speck; one of clothing."""
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
    assert [asked.expression for asked in sample.targets if asked.mask is not None] == [
        "the cat",
        "the person",
    ]
    before = (out / "coco.jsonl").read_bytes()
    evaluation_sets.main()
    assert (out / "coco.jsonl").read_bytes() == before, "the draw is seeded"


def box(rows: slice, cols: slice) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[rows, cols] = True
    return mask


def test_positions_are_told_where_they_are_clear() -> None:
    low_left, high_right = box(slice(20, 40), slice(0, 8)), box(slice(0, 10), slice(30, 38))
    middle = box(slice(8, 24), slice(15, 23))
    found = {w: m.tobytes() for w, m in evaluation_sets.singled_out([middle, high_right, low_left])}
    assert found == {
        "left": low_left.tobytes(),
        "right": high_right.tobytes(),
        "top": high_right.tobytes(),
        "bottom": low_left.tobytes(),
        "smallest": high_right.tobytes(),
    }
    level = [box(slice(0, 8), slice(0, 8)), box(slice(2, 10), slice(1, 9))]
    assert list(evaluation_sets.singled_out(level)) == [], "neither apart nor of another size"


def test_positions_leave_out_crowds_and_single_things(root: Path) -> None:
    found = list(evaluation_sets.position_lines(root))
    assert {line["expression"] for line in found} <= {"the left cat", "the right cat"}


def test_a_garment_is_asked_for_by_its_color_and_by_a_wrong_one(root: Path) -> None:
    right, wrong = evaluation_sets.color_lines(root)
    assert right["expression"] == "the black dress"
    assert rle_to_mask(right["mask"])[:20].all()
    assert wrong["mask"] is None
    assert wrong["expression"].endswith(" dress")
    assert not {"black", "grey", "blue"} & set(wrong["expression"].split())


def test_relations_that_hold_have_masks_and_others_none() -> None:
    left, right = box(slice(10, 20), slice(0, 8)), box(slice(10, 20), slice(30, 38))
    found = evaluation_sets.related("a.jpg", [("cat", left), ("cup", right)], "relations")
    masks = {line["expression"]: line["mask"] for line in found}
    told = masks["the cat to the left of the cup"]
    assert np.array_equal(rle_to_mask(told), left)
    assert "the cat to the right of the cup" not in masks or not masks.pop(
        "the cat to the right of the cup"
    )
    assert all(
        mask is None for words, mask in masks.items() if "above" in words or "below" in words
    )


def test_unseen_words_ask_for_the_very_things_of_the_seen_ones(root: Path) -> None:
    seen, unseen = (list(evaluation_sets.unseen_lines(root, seen=s)) for s in (True, False))
    assert {"the cat", "the person", "the dress"} == {line["expression"] for line in seen}
    assert {"the feline", "the individual", "the gown"} == {line["expression"] for line in unseen}
    assert [line["mask"] for line in seen] == [line["mask"] for line in unseen]


def test_unseen_words_were_never_taught() -> None:
    from projects.nano import referring_questions as questions

    taught = {name for family in questions._FAMILIES for name in family} | taught_words()
    assert not taught & set(evaluation_sets.HELD_OUT.values())


def test_all_questions_but_the_repeated_ones_stand_together(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = root / "sets"
    monkeypatch.setattr(sys, "argv", ["x", "--data", str(root), "--out", str(out)])
    evaluation_sets.main()
    records = [json.loads(line) for line in (out / "all.jsonl").read_text().splitlines()]
    assert {record["set"] for record in records} == {"coco", "clothing", "positions", "unseen"}
    images = [record["image"] for record in records]
    assert images == sorted(images), "each image is looked at once"


def test_classes_are_held_out_ones_with_a_clear_outline(root: Path) -> None:
    images, outlines = root / "photos" / "imagenet", root / "outlines"
    images.mkdir(parents=True)
    outlines.mkdir()
    saliency = np.zeros((320, 320), dtype=np.uint8)
    saliency[:160] = 255
    for index, share in ((7, 1), (17, 1), (27, 0), (8, 1)):
        one = imagenet_classes()[index]
        Image.new("RGB", (SIDE, SIDE)).save(images / f"{one.wnid}_x.jpg")
        Image.fromarray(saliency * share).save(outlines / f"{one.wnid}_x.png")
    found = list(evaluation_sets.class_lines(root, outlines))
    present = {line["expression"]: line["mask"] for line in found if line["mask"]}
    assert list(present) == [f"the {imagenet_classes()[index].name}" for index in (7, 17)]
    assert all(rle_to_mask(mask)[: SIDE // 2].all() for mask in present.values())
    assert len(found) == 4, "and an absent one each"
