from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import TEXT
from text4seg.cli._mask_io import MAX_BYTES, read_text, read_value, to_form, value_to_things
from text4seg.codec import get_any_format
from text4seg.core.errors import InputError
from text4seg.core.types import GridShape, Size

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
        read_value(path, get_any_format("rrle"), SHAPE, salvage=False)
    _, repairs = read_value(path, get_any_format("rrle"), SHAPE, salvage=True)
    assert repairs


def test_between_a_grid_and_boxes_the_pixels_count(tmp_path: Path) -> None:
    path = tmp_path / "mask.txt"
    path.write_text(TEXT)
    grid, _ = read_value(path, get_any_format("rrle"), SHAPE, salvage=False)
    with pytest.raises(InputError, match="--size"):
        to_form(grid, get_any_format("box"), SHAPE, None)
    path.write_text(to_form(grid, get_any_format("box"), SHAPE, Size(64, 96)))
    boxes, _ = read_value(path, get_any_format("box"), SHAPE, salvage=False)
    ((label, pixels),) = value_to_things(boxes, Size(64, 96))
    assert (label, int(pixels.sum())) == ("a dog", 16 * 48)
    assert to_form(boxes, get_any_format("rrle"), SHAPE, Size(64, 96)) == TEXT
