"""`convert`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call, is_one_sentence

TEXT = "others *2| dog 1 *2\n others *1| dog 2 *3\n"
GRID = ("--grid", "2x4")


def test_there_and_back(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    for form in ("sd", "rle", "json"):
        done = call("convert", "text", "--to", form, *GRID)
        assert (done.code, done.err) == (0, "")
        (tmp_path / "other").write_text(done.out)
        back = call("convert", "other", "--format", form, "--to", "rrle", *GRID)
        assert (back.code, back.out) == (0, TEXT)
    record = call("convert", "text", "--to", "sd", "--json", *GRID).json[0]
    assert record["labels"] == ["others", "dog 1", "dog 2"]
    assert record["repairs"] == []


def test_stdin_and_answers(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = io.TextIOWrapper(io.BytesIO(f"Here:\n<seg>{TEXT}</seg>".encode()))
    monkeypatch.setattr(sys, "stdin", answer)
    done = call("convert", "-", "--to", "json", *GRID)
    assert json.loads(done.out)["cells"] == [[0, 0, 1, 1], [0, 2, 2, 2]]


def test_salvage_says_what_it_did(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT.replace("dog 2 *3", "dog 2 *4"))
    done = call("convert", "text", "--to", "rrle", *GRID)
    assert done.code == 1
    assert is_one_sentence(done.err)
    done = call("convert", "text", "--to", "rrle", "--salvage", *GRID)
    assert (done.code, done.out) == (0, TEXT)
    assert "row 2: 5 cells cut to 4" in done.err


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        pytest.param(b"\xff", (), 1, id="no UTF-8"),
        pytest.param(b"", (), 1, id="nothing"),
        pytest.param(b"{", ("--format", "json"), 1, id="broken JSON"),
        pytest.param(b"[" * 100_000, ("--format", "json"), 1, id="deep JSON"),
        pytest.param(b"{}", ("--format", "json"), 1, id="other JSON"),
        pytest.param(b"x", ("--format", "xml"), 2, id="an unknown format"),
        pytest.param(b"x", ("--grid", "0x1"), 2, id="no grid"),
    ],
)
def test_bad_input(call: Call, tmp_path: Path, content: bytes, options: tuple, code: int) -> None:
    (tmp_path / "text").write_bytes(content)
    done = call("convert", "text", "--to", "sd", *options)
    assert (done.code, done.out) == (code, "")
    assert is_one_sentence(done.err)
    assert call("convert", "missing", "--to", "sd").code == 1
    assert call("convert", ".", "--to", "sd").code == 1
