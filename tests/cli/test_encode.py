from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import MASK, TEXT, Call, is_one_sentence
from text4seg.core.run_lengths import mask_to_rle
from text4seg.images import mask_to_png


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
