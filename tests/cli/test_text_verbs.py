"""`encode`, `decode` and `grammar`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call, is_one_sentence
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.images import mask_to_png, open_mask

MASK = np.zeros((64, 96), dtype=bool)
MASK[16:32, 24:72] = True
TEXT = "others *4\n others *1| a dog *2| others *1\n others *4\n others *4\n"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    (tmp_path / "mask.png").write_bytes(mask_to_png(MASK))
    return Path("mask.png")


def test_encode_prints_the_text_to_the_byte(call: Call, mask: Path) -> None:
    done = call("encode", mask, "--label", "a dog", "--grid", "4x4")
    assert (done.code, done.out, done.err) == (0, TEXT, "")
    done = call("encode", mask, "--label", "a dog", "--grid", "4x4", "--json")
    assert done.json == [
        {
            "text": TEXT,
            "format": "rrle",
            "grid": "4x4",
            "labels": ["others", "a dog"],
            "size": [64, 96],
            "share": pytest.approx(MASK.mean()),
        }
    ]


def test_encode_knows_the_papers_rule(call: Call, tmp_path: Path) -> None:
    small = np.zeros((64, 96), dtype=bool)
    small[0:3, 0:3] = True
    (tmp_path / "small.png").write_bytes(mask_to_png(small))
    kept = call("encode", "small.png", "-l", "x", "--grid", "4x4")
    lost = call("encode", "small.png", "-l", "x", "--grid", "4x4", "--rule", "center")
    assert "x *1" in kept.out
    assert "x" not in lost.out


@pytest.mark.parametrize("form", ["sd", "rle", "rrle"])
def test_decode_is_the_way_back(call: Call, mask: Path, tmp_path: Path, form: str) -> None:
    options = ("--grid", "4x4", "--format", form)
    (tmp_path / "text").write_text(call("encode", mask, "-l", "a dog", *options).out)
    done = call("decode", "text", "--size", "64x96", "-o", "back.png", *options)
    assert (done.code, done.out, done.err) == (0, "", "wrote back.png\n")
    assert np.array_equal(open_mask(tmp_path / "back.png"), MASK)
    record = call("decode", "text", "--size", "64x96", "--json", *options).json[0]
    assert np.array_equal(rle_to_mask(record["mask"]), MASK)
    assert record["labels"] == ["others", "a dog"]


def test_decode_without_a_file_shows_the_grid(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    done = call("decode", "text", "--size", "64x96", "--grid", "4x4")
    assert done.out.splitlines()[1] == "  ··████··   others *1| a dog *2| others *1"


def test_decode_reads_a_whole_answer_and_stdin(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = io.BytesIO(f"Here is the mask:\n<seg>{TEXT}</seg>".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(answer))
    done = call("decode", "-", "--size", "64x96", "--grid", "4x4", "--json")
    assert np.array_equal(rle_to_mask(done.json[0]["mask"]), MASK)


def test_decode_is_strict_and_salvages_on_request(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT.replace("others *4", "others *5", 1))
    done = call("decode", "text", "--size", "64x96", "--grid", "4x4", "-o", "back.png")
    assert (done.code, done.out) == (1, "")
    assert is_one_sentence(done.err)
    assert "line 1, column 9" in done.err
    assert not (tmp_path / "back.png").exists()
    done = call("decode", "text", "--size", "64x96", "--grid", "4x4", "-o", "back.png", "--salvage")
    assert done.code == 0
    assert "repaired row 1: " in done.err
    assert np.array_equal(open_mask(tmp_path / "back.png"), MASK)


def test_decode_asks_which_of_several_labels(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("cat *1| dog *1\n")
    done = call("decode", "text", "--size", "8x8", "--grid", "1x2")
    assert done.code == 2
    assert "--label (cat, dog)" in done.err
    done = call("decode", "text", "--size", "8x8", "--grid", "1x2", "-l", "dog", "--json")
    assert rle_to_mask(done.json[0]["mask"]).mean() == 0.5
    assert call("decode", "text", "--size", "8x8", "--grid", "1x2", "-l", "cow").code == 2


@pytest.mark.parametrize("notation", ["lark", "gbnf", "ebnf"])
def test_grammar_prints_a_grammar(call: Call, notation: str) -> None:
    done = call("grammar", "--label", "a dog", "--grid", "4x4", "--notation", notation)
    assert (done.code, done.err) == (0, "")
    assert "a dog" in done.out
    assert done.out.endswith("\n")
    record = call("grammar", "--label", "a dog", "--grid", "4x4", "--notation", notation, "--json")
    assert record.json[0]["grammar"].rstrip("\n") == done.out.rstrip("\n")


def test_a_regular_expression_accepts_what_encode_writes(call: Call, mask: Path) -> None:
    import re

    done = call("grammar", "--label", "a dog", "--grid", "4x4", "--notation", "regex")
    assert re.fullmatch(done.out.rstrip("\n"), TEXT)
    assert not re.fullmatch(done.out.rstrip("\n"), TEXT + "x")


COCO = {
    "images": [{"id": 7, "height": 64, "width": 96}],
    "categories": [{"id": 1, "name": "a | dog"}],
    "annotations": [
        {
            "id": 3,
            "image_id": 7,
            "category_id": 1,
            "segmentation": [[24, 16, 72, 16, 72, 32, 24, 32]],
        },
        {"id": 4, "image_id": 7, "category_id": 1, "segmentation": mask_to_rle(MASK)},
    ],
}


def test_encode_reads_coco(call: Call, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(COCO))
    for form, rule in (("rrle", "coverage"), ("sd", "center")):
        options = ("--grid", "4x4", "--format", form, "--rule", rule)
        done = call("encode", "coco.json", "--json", *options)
        assert done.code == 0
        assert [record["id"] for record in done.json] == [3, 4]
        assert {record["label"] for record in done.json} == {"a dog"}
        if form == "rrle":
            assert [record["text"] for record in done.json] == [TEXT, TEXT]
    done = call("encode", "coco.json")
    assert done.code == 2
    assert "2 masks: --json" in done.err
    named = call("encode", "coco.json", "--label", "x", "--json")
    assert named.json[0]["label"] == "x"


def test_encode_reads_stdin(call: Call, mask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    give(mask.read_bytes())
    assert call("encode", "-", "--label", "a dog", "--grid", "4x4").out == TEXT
    give(json.dumps(COCO | {"annotations": COCO["annotations"][:1]}).encode())
    assert call("encode", "-", "--grid", "4x4").out == TEXT
    give(b"")
    assert call("encode", "-", "--label", "x").code == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"images": []}, id="no image"),
        pytest.param({"annotations": 3}, id="no list"),
        pytest.param({"categories": []}, id="no category"),
        pytest.param({"annotations": [{"image_id": 7, "category_id": 1}]}, id="no outline"),
        pytest.param(
            {"annotations": [{"image_id": 7, "category_id": 1, "segmentation": [[1, 2]]}]},
            id="half a polygon",
        ),
        pytest.param(
            {"annotations": [{"image_id": 7, "category_id": 1, "segmentation": 5}]}, id="a number"
        ),
        pytest.param(
            {"annotations": [{"image_id": 7, "category_id": 1, "segmentation": {"size": [1]}}]},
            id="half run lengths",
        ),
    ],
)
def test_encode_refuses_broken_coco(call: Call, tmp_path: Path, change: dict) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(COCO | change))
    done = call("encode", "coco.json", "--json")
    assert (done.code, done.out) == (1, "")
    assert is_one_sentence(done.err)
    assert "coco.json" in done.err


def test_encode_of_a_picture_needs_a_word(call: Call, mask: Path) -> None:
    done = call("encode", mask)
    assert done.code == 2
    assert "--label" in done.err


def test_decode_writes_outlines(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    done = call("decode", "text", "--size", "64x96", "--grid", "4x4", "-o", "out.svg")
    assert done.code == 0
    assert "<title>a dog</title>" in (tmp_path / "out.svg").read_text()
