"""The benchmark of passes, on annotations small enough to know the answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.passes import main
from tests.reference.toy import train_tokenizer

TEXTS = [
    "others *16\n others *4| dog *3| others *9\n others| others| dog| dog| traffic light\n"
] * 9


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tokenizer and annotations: three objects, a speck and a crowd."""
    folder = tmp_path_factory.mktemp("coco")
    runs = {"size": [160, 160], "counts": [160 * 80, 160 * 20, 160 * 60]}
    document = {
        "images": [{"id": 7, "height": 160, "width": 160}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "traffic light"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": square(40, 40, 60)},
            {"image_id": 7, "category_id": 2, "segmentation": square(0, 0, 160)},
            {"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": runs},
            {"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": square(5, 5, 4)},
            {"image_id": 7, "category_id": 2, "iscrowd": 1, "segmentation": runs},
        ],
    }
    (folder / "instances.json").write_text(json.dumps(document))
    train_tokenizer(TEXTS, 300, words=True).save(str(folder / "tokenizer.json"))
    return folder / "instances.json", folder / "tokenizer.json"


def call(files: tuple[Path, Path], *more: str) -> list[str]:
    return ["--coco", str(files[0]), "--tokenizer", str(files[1]), *more]


def test_it_counts_tokens_and_passes(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call(files, "--grid", "16x16,8x20", "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tokenizer"] == "tokenizer.json"
    found = [(result["grid"], result["format"]) for result in report["results"]]
    assert found == [("16x16", "sd"), ("16x16", "rrle"), ("8x20", "sd"), ("8x20", "rrle")]
    for result in report["results"]:
        assert result["masks"] == 3  # neither the speck nor the crowd
        drafts = result["drafts"]
        passes = [drafts[draft]["passes"] for draft in ("none", "forced", "row, paced", "row")]
        assert passes == sorted(passes, reverse=True)
        assert passes[0] == pytest.approx(result["tokens"] - 1)
        assert passes[1] == pytest.approx(result["decisions"] - 1)
        assert passes[3] < 9
        for draft in drafts.values():
            assert draft["accepted"] <= draft["drafted"] <= draft["fed"]
    assert report["results"][0]["tokens"] > 2 * 256


def test_it_prints_a_table(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(call(files, "--grid", "4x4", "--limit", "2")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("| grid | format | masks | tokens | decisions | passes, none |")
    assert all(line.count("|") == lines[0].count("|") for line in lines[1:])
    assert lines[2].startswith("| 4x4 | sd | 2 |")


BAD = [
    pytest.param(["--grid", "0x4"], "0x4", id="a grid of nothing"),
    pytest.param(["--grid", "4x4", "--limit", "0"], "--limit", id="no masks asked for"),
    pytest.param(["--coco", "missing.json"], "missing.json", id="a missing file"),
    pytest.param(["--tokenizer", "missing.json"], "missing.json", id="a missing tokenizer"),
]


@pytest.mark.parametrize(("more", "words"), BAD)
def test_bad_calls_end_in_one_sentence(
    files: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    words: str,
) -> None:
    assert main(call(files, *more)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("passes: ")
    assert words in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="a list"),
        pytest.param('{"images": [], "categories": [], "annotations": []}', id="no object"),
        pytest.param(
            '{"images": [], "categories": [], "annotations": [{"image_id": 1, "category_id": 1}]}',
            id="an object of no image",
        ),
    ],
)
def test_bad_annotations_end_in_one_sentence(
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    file = tmp_path / "instances.json"
    file.write_text(text)
    assert main(call((file, files[1]))) == 1
    assert capsys.readouterr().err.count("\n") == 1
