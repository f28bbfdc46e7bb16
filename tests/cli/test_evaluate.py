from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import DOG, Call, is_one_sentence
from tests.fakes import FakeChat
from text4seg.core.geometry import cells_to_mask
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.core.types import Size


@pytest.fixture
def questions(image: Path, tmp_path: Path) -> Path:
    """Two questions about the image: a dog that is found to the pixel, and an absent cat."""
    dog = mask_to_rle(cells_to_mask(DOG.select("the dog"), Size(96, 160)))
    lines = [
        {"image": str(image), "expression": "the dog", "mask": dog, "set": "things"},
        {"image": str(image), "expression": "the cat", "mask": None, "set": "absent"},
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
    assert report["sets"]["absent"]["n_acc"] == 1.0
    assert report["sets"]["all"]["questions"] == 2
    assert "numpy" in report["versions"]


def test_a_table_for_people(call: Call, chat: FakeChat, questions: Path) -> None:
    done = call("evaluate", "--data", questions, "--images", ".")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["Figures"]
    assert ["things", "absent", "all"] in lines
    assert ["IoU,", "grid", "1.000", "–", "1.000"] in lines
    assert ["N-acc", "–", "100.0", "%", "100.0", "%"] in lines
    assert any(line[:3] == ["right", "1", "(100.0"] for line in lines)


def test_a_limit(call: Call, chat: FakeChat, questions: Path) -> None:
    done = call("evaluate", "--data", questions, "--images", ".", "--json", "--limit", 1)
    assert list(done.json[0]["sets"]) == ["things"]
    assert call("evaluate", "--data", questions, "--images", ".", "--limit", 0).code == 2


def test_predictions_are_kept(call: Call, chat: FakeChat, questions: Path, tmp_path: Path) -> None:
    done = call("evaluate", "--data", questions, "--images", ".", "--predictions", "out/p.jsonl")
    assert done.code == 0
    dog, cat = map(json.loads, (tmp_path / "out" / "p.jsonl").read_text().splitlines())
    assert (dog["image"], dog["expression"], dog["set"]) == ("image.png", "the dog", "things")
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
        file.write('{"image": "image.png", "expression": "others", "mask": null}\n')
    done = call("evaluate", "--data", questions, "--images", ".", "--json")
    assert (done.code, is_one_sentence(done.err)) == (1, True)
    assert "val.jsonl, line 3: " in done.err
    assert chat.opened == []


def test_a_run_is_kept_gone_on_with_and_reported(
    call: Call, chat: FakeChat, questions: Path, tmp_path: Path
) -> None:
    done = call("evaluate", "--data", questions, "-o", "run", "--json")
    assert done.code == 0, done.err
    names = ["records.0.jsonl", "report.html", "report.json", "report.md"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == names
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == done.json[0]
    assert "| IoU, grid | 1.000" in (tmp_path / "run" / "report.md").read_text()
    assert "<h2>Failures</h2>" in (tmp_path / "run" / "report.html").read_text()
    assert len(chat.opened) == 1
    again = call("evaluate", "--data", questions, "-o", "run", "--json")
    assert again.json == done.json
    assert len(chat.opened) == 1, "nothing is asked twice"
    other = call("evaluate", "--data", questions, "-o", "run", "--grid", "8x8")
    assert (other.code, is_one_sentence(other.err)) == (1, True)
    assert "grid is '16x16'" in other.err


def test_two_runs_are_compared(call: Call, chat: FakeChat, questions: Path) -> None:
    assert call("evaluate", "--data", questions, "-o", "a").code == 0
    chat.answers.clear()
    assert call("evaluate", "--data", questions, "-o", "b").code == 0
    (found,) = call("evaluate", "compare", "a", "b", "--json").json
    change = found["differences"]["things"]["pixel_iou"]
    assert (change["first"], change["second"], change["difference"]["value"]) == (1.0, 0.0, -1.0)
    assert found["errors"]["things"][1]["missed"] == 1
    table = call("evaluate", "compare", "a", "b")
    assert table.code == 0
    assert "-1.000" in table.out
    wrong = call("evaluate", "compare", "a", "none")
    assert (wrong.code, is_one_sentence(wrong.err)) == (1, True)


def test_several_processes_need_a_folder(
    call: Call, chat: FakeChat, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = call("evaluate", "--data", questions)
    assert (done.code, is_one_sentence(done.err)) == (2, True)
    assert "-o" in done.err


BAD = [
    pytest.param(["--task", "vqa"], 2, "res, gres, rec", id="an unknown task"),
    pytest.param(["--layout", "cocoo"], 2, "coco", id="an unknown layout"),
    pytest.param(["--option", "x"], 2, "NAME=VALUE", id="an option without a value"),
    pytest.param(["--option", "x=1"], 2, "option of jsonl", id="an option it has not"),
    pytest.param(["-o", "image.png"], 2, "is a file", id="a file for a folder"),
    pytest.param(["--empty-below", "0"], 2, "empty-below", id="below no pixel"),
]


@pytest.mark.parametrize(("more", "code", "words"), BAD)
def test_bad_calls(
    call: Call, chat: FakeChat, questions: Path, more: list[str], code: int, words: str
) -> None:
    done = call("evaluate", "--data", questions, *more)
    assert (done.code, words in done.err) == (code, True), done.err
    assert chat.opened == []
