from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import MASK, TEXT, Call, is_one_sentence
from text4seg.core.run_lengths import rle_to_mask
from text4seg.images import open_mask


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


def test_decode_writes_outlines(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    done = call("decode", "text", "--size", "64x96", "--grid", "4x4", "-o", "out.svg")
    assert done.code == 0
    assert "<title>a dog</title>" in (tmp_path / "out.svg").read_text()
