from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.fakes import FakeChat
from text4seg.cli._model_options import fetch_parts, load_segmenter
from text4seg.cli._text_options import list_names
from text4seg.core.types import GridShape
from text4seg.decoding import DRAFTERS
from text4seg.models.defaults import ModelDefaults
from text4seg.refine import REFINERS


def test_the_help_lists_every_refiner_and_drafter(call: Call) -> None:
    shown = "".join(call("segment", "--help").out.split())  # names are broken at their hyphens
    assert "".join(list_names(REFINERS).split()) in shown
    assert "".join(list_names(DRAFTERS).split()) in shown


def test_a_model_is_loaded_with_its_options(chat: FakeChat) -> None:
    segmenter = load_segmenter("any", refiner="smooth", grid="8x8", format_name="sd")
    assert str(segmenter.shape) == "8x8"
    assert segmenter.format.name == "sd"


def test_fetching_says_how_much_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_parts(tmp_path)
    assert capsys.readouterr().err == ""  # the tests' table of parts is empty


def test_settings_that_a_model_was_not_trained_with_are_said(
    chat: FakeChat, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.defaults = ModelDefaults(format="rrle", grid=GridShape(32, 32))
    assert str(load_segmenter("any").shape) == "32x32"
    assert "trained" not in capsys.readouterr().err
    load_segmenter("any", grid="16x16")
    assert (
        "note: the grid is 16x16, and the model was trained with 32x32" in capsys.readouterr().err
    )
