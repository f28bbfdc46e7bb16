"""The benchmarks of the format, on annotations small enough to know the answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import codec, fuzz_codec, length, oracle, salvage
from tests.reference.toy import train_tokenizer
from text4seg.codec import FORMATS


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = {
        "images": [{"id": 7, "height": 160, "width": 160}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "traffic light"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": square(40, 40, 60)},
            {"image_id": 7, "category_id": 2, "segmentation": square(103, 53, 15)},
        ],
    }
    file = tmp_path_factory.mktemp("coco") / "instances.json"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
def test_codec_tells_times(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert codec.main(["--coco", str(coco), "--grid", "4x4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["import_milliseconds"] > 0
    (row,) = report["results"]
    assert row["masks"] == 2
    assert all(value > 0 for value in row["microseconds"].values())


def test_oracle_knows_a_square_on_the_grid(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = coco.with_name("tokenizer.json")
    train_tokenizer(["others *16\n dog *3| traffic light *9\n"] * 9, 300, words=True).save(
        str(tokenizer)
    )
    call = ["--coco", str(coco), "--tokenizer", str(tokenizer), "--grid", "16x16", "--json"]
    assert oracle.main(call) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    (big,) = [
        row
        for row in rows
        if (row["format"], row["size"], row["rule"]) == ("rrle", "over 10 %", "0.5")
        and row["upsampling"] == "nearest"
    ]
    assert big["iou"] == 1.0
    small = {row["format"]: row["iou"] for row in rows if row["size"] == "0.5-2 %"}
    assert small["box"] > small["rrle"]


def test_lengths_are_counted_and_told(
    coco: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length, "SOURCES", {"words": None})
    monkeypatch.setattr(length, "counter", lambda name: lambda text: len(text.split()))
    call = ["--coco", str(coco), "--grid", "16x16"]
    assert length.main([*call, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["objects"] == {"over 0.5 %": 2, "over 5 %": 1}
    rows = {(row["objects"], row["label"]): row for row in report["results"]}
    assert rows["over 5 %", "name"]["sd"] == 256
    assert 0.5 < rows["over 5 %", "name"]["saved"] < 1
    assert length.main(call) == 0
    assert "| over 5 % | words | 16x16 | name | 256.0 |" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
def test_records_become_tables(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for main, heading in ((codec.main, "| grid |"), (salvage.main, "| damage |")):
        grid = ["--grid", "4x4"] if main is codec.main else []
        assert main(["--coco", str(coco), *grid]) == 0
        assert capsys.readouterr().out.startswith(heading)


def test_salvage_beats_the_baseline(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert salvage.main(["--coco", str(coco), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert len(rows) >= 20
    assert rows[0] == {"damage": "none", "salvage": 1.0, "baseline": 1.0}
    for row in rows:
        assert row["salvage"] >= row["baseline"], row


def test_bad_annotations_end_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "instances.json"
    file.write_text("{")
    for main in (codec.main, salvage.main):
        assert main(["--coco", str(file)]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_the_fuzzer_finds_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    count, broken = fuzz_codec.run_hypothesis(0)
    assert (count, broken) == (0, "")
    for text in fuzz_codec.seeds(3):
        fuzz_codec.check(text)
    form = type(FORMATS["sd"])
    monkeypatch.setattr(form, "encode", lambda self, grid: "")
    with pytest.raises(AssertionError, match="not canonical"):
        fuzz_codec.check("dog\n")
