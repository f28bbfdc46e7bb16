from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import DOG, Call, is_one_sentence
from tests.fakes import FakeChat
from text4seg.core.geometry import cells_to_mask
from text4seg.core.rle import mask_to_rle, rle_to_mask
from text4seg.core.types import Size


@pytest.fixture
def questions(photo: Path, tmp_path: Path) -> Path:
    """Two questions about the photo: a dog that is found to the pixel, and an absent cat."""
    dog = mask_to_rle(cells_to_mask(DOG.select("the dog"), Size(96, 160)))
    lines = [
        {"image": str(photo), "expression": "the dog", "mask": dog, "set": "things"},
        {"image": str(photo), "expression": "the cat", "mask": None, "set": "absent"},
    ]
    path = tmp_path / "val.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Path(path.name)


def test_json_has_the_figures_of_each_set(call: Call, chat: FakeChat, questions: Path) -> None:
    done = call("evaluate", "--model", "nano", "--data", questions, "--images", ".", "--json")
    (report,) = done.json
    assert done.code == 0
    assert (report["model"], report["grid"], report["format"]) == ("nano", "16x16", "sd")
    assert list(report["sets"]) == ["things", "absent", "all"]
    assert report["sets"]["things"]["grid_iou"] == 1.0
    assert report["sets"]["things"]["pixel_iou"] == 1.0
    assert report["sets"]["absent"]["true_empties"] == 1.0
    assert report["sets"]["all"]["questions"] == 2
    assert "numpy" in report["versions"]


def test_a_table_for_people(call: Call, chat: FakeChat, questions: Path) -> None:
    done = call("evaluate", "--data", questions, "--images", ".")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["figure", "things", "absent", "all"]
    assert ["IoU,", "grid", "1.000", "–", "1.000"] in lines
    assert ["absent,", "answered", "empty", "–", "100.0", "%", "100.0", "%"] in lines


def test_a_limit(call: Call, chat: FakeChat, questions: Path) -> None:
    done = call("evaluate", "--data", questions, "--images", ".", "--json", "--limit", 1)
    assert list(done.json[0]["sets"]) == ["things"]
    assert call("evaluate", "--data", questions, "--images", ".", "--limit", 0).code == 2


def test_predictions_are_kept(call: Call, chat: FakeChat, questions: Path, tmp_path: Path) -> None:
    done = call("evaluate", "--data", questions, "--images", ".", "--predictions", "out/p.jsonl")
    assert done.code == 0
    dog, cat = map(json.loads, (tmp_path / "out" / "p.jsonl").read_text().splitlines())
    assert (dog["image"], dog["expression"], dog["set"]) == ("photo.png", "the dog", "things")
    assert np.array_equal(
        rle_to_mask(dog["mask"]), cells_to_mask(DOG.select("the dog"), Size(96, 160))
    )
    assert cat["mask"] is None
    assert cat["text"].startswith("others| others")


def test_a_folder_for_predictions_is_refused_before_anything_runs(
    call: Call, chat: FakeChat, questions: Path
) -> None:
    done = call("evaluate", "--data", questions, "--images", ".", "--predictions", ".")
    assert (done.code, is_one_sentence(done.err)) == (2, True)
    assert chat.opened == []


def test_a_wrong_line_is_named_before_anything_runs(
    call: Call, chat: FakeChat, questions: Path
) -> None:
    with questions.open("a") as file:
        file.write('{"image": "photo.png", "expression": "others", "mask": null}\n')
    done = call("evaluate", "--data", questions, "--images", ".", "--json")
    assert (done.code, is_one_sentence(done.err)) == (1, True)
    assert "val.jsonl, line 3: " in done.err
    assert chat.opened == []
