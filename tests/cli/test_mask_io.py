from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import TEXT
from text4seg.cli._mask_io import MAX_BYTES, read_text, read_value
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.types import GridShape

SHAPE = GridShape(4, 4)


def test_text_comes_from_a_file_or_from_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mask.txt"
    path.write_text(TEXT)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert read_text(path) == read_text(Path("-")) == TEXT


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.txt"
    for data, message in ((b"\xff", "byte 0 is not UTF-8"), (b"x" * (MAX_BYTES + 1), "64 MB")):
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            read_text(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path)


def test_reading_is_strict_unless_it_salvages(tmp_path: Path) -> None:
    path = tmp_path / "mask.txt"
    path.write_text(TEXT[:-2])
    with pytest.raises(InputError, match="--salvage reads damaged text"):
        read_value(path, get_format("rrle"), SHAPE, salvage=False)
    _, repairs = read_value(path, get_format("rrle"), SHAPE, salvage=True)
    assert repairs
