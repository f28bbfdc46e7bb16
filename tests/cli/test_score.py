from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import DOG, Call, is_one_sentence
from text4seg.codec import get_format
from text4seg.core.geometry import cells_to_mask
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Size

MASK = cells_to_mask(DOG.select("the dog"), Size(96, 160))
RLE = mask_to_rle(MASK)
BOX = [20, 24, 100, 24, 100, 48, 20, 48]


def write(path: Path, *records: object) -> Path:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    path.write_text("".join(f"{line}\n" for line in lines))
    return Path(path.name)


@pytest.fixture
def truth(image: Path, tmp_path: Path) -> Path:
    """A dog and an absent cat; the image is there, and need not be."""
    return write(
        tmp_path / "val.jsonl",
        {"image": str(image), "expression": "the dog", "mask": RLE, "set": "val"},
        {"image": str(image), "expression": "the cat", "mask": None, "set": "val"},
    )


def dog(**answer: object) -> dict[str, object]:
    return {"image": "image.png", "expression": "the dog", **answer}


CAT = {"image": "image", "expression": "the cat", "mask": None}

SAME = [
    pytest.param(dog(mask=RLE), id="run lengths"),
    pytest.param(dog(segmentation=RLE), id="run lengths as COCO names them"),
    pytest.param(dog(segmentation=[BOX]), id="polygons"),
    pytest.param(dog(segmentation=BOX), id="one polygon"),
    pytest.param(dog(text=get_format("rrle").encode(DOG)), id="raw text"),
    pytest.param(dog(text=f"It is:\n<seg>{get_format('rrle').encode(DOG)}</seg>"), id="an answer"),
    pytest.param({"image_id": "image", "expression": "the dog", "mask": RLE}, id="by stem"),
]


@pytest.mark.parametrize("line", SAME)
def test_predictions_of_every_kind_score_alike(
    call: Call, truth: Path, tmp_path: Path, line: object
) -> None:
    (tmp_path / "image.png").unlink()  # no image is needed
    predictions = write(tmp_path / "p.jsonl", CAT, line)
    done = call("score", predictions, "--data", truth, "--grid", "16x16", "--json")
    assert done.code == 0, done.err
    figures = done.json[0]["sets"]["val"]
    assert (figures["ciou"], figures["pixel_iou"], figures["box_acc"]) == (1.0, 1.0, 1.0)
    assert figures["n_acc"] == 1.0
    assert figures["precision"] == [1.0] * 5


def test_text_counts_how_it_could_be_read(call: Call, truth: Path, tmp_path: Path) -> None:
    text = get_format("rrle").encode(DOG).replace("*16", "*15", 1)
    cat = {**CAT, "text": "I see no cat.", "mask": None}
    del cat["mask"]
    predictions = write(tmp_path / "p.jsonl", dog(text=text), cat)
    done = call("score", predictions, "--data", truth, "--grid", "16x16", "--json")
    figures = done.json[0]["sets"]["val"]
    assert (figures["strict"], figures["salvaged"], figures["unparsable"]) == (0.0, 0.5, 0.5)
    assert figures["grid_iou"] == 1.0
    assert figures["oracle_iou"] == 1.0
    assert done.json[0]["errors"]["val"]["unparsable"] == 1


@pytest.mark.parametrize("name", ["image.the-dog.mask.png", "image.the-dog.png"])
def test_a_folder_of_pictures(call: Call, truth: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "masks").mkdir()
    Image.fromarray(MASK.astype(np.uint8) * 255).save(tmp_path / "masks" / name)
    Image.new("L", (160, 96)).save(tmp_path / "masks" / "image.the-cat.png")
    done = call("score", "masks", "--data", truth, "--json")
    assert done.json[0]["sets"]["val"]["giou"] == 1.0


def test_a_coco_file_is_the_truth(call: Call, image: Path, tmp_path: Path) -> None:
    document = {
        "images": [{"id": 7, "file_name": "image.png", "height": 96, "width": 160}],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": [BOX],
                         "iscrowd": 0, "area": 1920, "bbox": [20, 24, 80, 24]}],
    }  # fmt: skip
    (tmp_path / "instances.json").write_text(json.dumps(document))
    line = {"image_id": 7, "mask": RLE, "expression": "dog"}
    predictions = write(tmp_path / "p.jsonl", line)
    done = call("score", predictions, "--data", "instances.json", "--layout", "coco", "--json")
    assert done.code == 0, done.err
    assert next(iter(done.json[0]["sets"].values()))["ciou"] == 1.0


def test_reports_are_written_and_can_be_compared(
    call: Call, truth: Path, image: Path, tmp_path: Path
) -> None:
    good = write(tmp_path / "good.jsonl", CAT, dog(mask=RLE))
    bad = write(tmp_path / "bad.jsonl", CAT, dog(mask=None))
    for predictions, out in ((good, "a"), (bad, "b")):
        done = call("score", predictions, "--data", truth, "--images", ".", "-o", out)
        assert done.code == 0, done.err
    assert "data:image/jpeg" in (tmp_path / "b" / "report.html").read_text()
    (found,) = call("evaluate", "compare", "b", "a", "--json").json
    assert found["differences"]["val"]["ciou"]["difference"]["value"] == 1.0


def test_missing_predictions(call: Call, truth: Path, tmp_path: Path) -> None:
    predictions = write(tmp_path / "p.jsonl", CAT)
    done = call("score", predictions, "--data", truth)
    assert (done.code, is_one_sentence(done.err)) == (1, True)
    assert "1 of 2 questions have no prediction, the first is 'the dog'" in done.err
    empty = call("score", predictions, "--data", truth, "--missing", "empty", "--json")
    assert empty.json[0]["sets"]["val"]["miss_rate"] == 1.0
    assert empty.json[0]["missing"] == 1
    skipped = call("score", predictions, "--data", truth, "--missing", "skip", "--json")
    assert skipped.json[0]["sets"]["val"]["questions"] == 1


def test_few_pixels_are_empty_for_gres(call: Call, truth: Path, tmp_path: Path) -> None:
    speck = np.zeros((96, 160), dtype=bool)
    speck[:7, :7] = True
    predictions = write(tmp_path / "p.jsonl", dog(mask=RLE), {**CAT, "mask": mask_to_rle(speck)})
    for task, share in (("res", 0.0), ("gres", 1.0)):
        done = call("score", predictions, "--data", truth, "--task", task, "--json")
        assert done.json[0]["sets"]["val"]["n_acc"] == share


OTHER = mask_to_rle(np.ones((5, 6), dtype=bool))
WRONG = [
    pytest.param("{", "line 1: ", id="no JSON"),
    pytest.param([], "an object is expected", id="a list"),
    pytest.param({"mask": RLE}, '"image" must name', id="no image named"),
    pytest.param({"image": "x", "mask": RLE}, "no image 'x'", id="an unknown image"),
    pytest.param({"image": "image", "mask": RLE}, '"expression" is missing', id="no words"),
    pytest.param(dog(expression="cow", mask=None), "not ask for 'cow'", id="other words"),
    pytest.param(dog(expression=3, mask=None), '"expression" must be', id="a number for words"),
    pytest.param(dog(), 'one of "mask"', id="no answer"),
    pytest.param(dog(mask="x"), "run lengths or polygons", id="a text for a mask"),
    pytest.param(dog(mask={"size": [2, 2], "counts": [1]}), "sum to 1", id="a short mask"),
    pytest.param(dog(segmentation=[[1, 2]]), "three points", id="a polygon of one point"),
    pytest.param(dog(segmentation=["a"]), "polygons are lists|not a list", id="no polygon"),
    pytest.param(dog(text=4), '"text" must be', id="a number for a text"),
    pytest.param(dog(text="others *16"), "--grid", id="text without a grid"),
    pytest.param(dog(mask=RLE, seconds="1"), '"seconds" must be a number', id="a text for time"),
    pytest.param(dog(mask=OTHER), "the answer is 5x6 and the image 96x160", id="another size"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_wrong_predictions_are_named(
    call: Call, truth: Path, tmp_path: Path, line: object, words: str
) -> None:
    predictions = write(tmp_path / "p.jsonl", line)
    done = call("score", predictions, "--data", truth, "--missing", "skip", "-o", "out")
    assert (done.code, is_one_sentence(done.err)) == (1, True), done.err
    assert any(word in done.err for word in words.split("|")), done.err
    assert not (tmp_path / "out").exists(), "nothing half-written"


def test_a_question_is_answered_once(call: Call, truth: Path, tmp_path: Path) -> None:
    predictions = write(tmp_path / "p.jsonl", dog(mask=RLE), dog(mask=None))
    done = call("score", predictions, "--data", truth)
    assert "line 2: this question has its answer already" in done.err


BAD = [
    pytest.param(["none.jsonl", "--data", "val.jsonl"], 2, "none.jsonl", id="no predictions"),
    pytest.param(["val.jsonl"], 2, "--data", id="no truth"),
    pytest.param(["val.jsonl", "--data", "no.jsonl"], 1, "no.jsonl", id="a missing truth"),
    pytest.param(["val.jsonl", "--data", "val.jsonl", "--missing", "x"], 2, "skip", id="how"),
    pytest.param(["val.jsonl", "--data", "val.jsonl", "--grid", "4"], 2, "ROWSxCOLS", id="grid"),
    pytest.param([".", "--data", "val.jsonl"], 1, "image.the-dog.mask.png", id="no picture"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_bad_calls(call: Call, truth: Path, arguments: list[str], code: int, words: str) -> None:
    done = call("score", *arguments)
    assert (done.code, is_one_sentence(done.err)) == (code, True), done.err
    assert words in done.err
