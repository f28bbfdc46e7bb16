"""What a model was taught with is written and read back by one class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from text4seg.core.errors import WeightsError
from text4seg.core.types import GridShape
from text4seg.models.defaults import DEFAULTS_FILE, ModelDefaults

TAUGHT = ModelDefaults("sd", GridShape(32, 8), 448)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    TAUGHT.save(tmp_path)
    assert ModelDefaults.load(tmp_path) == TAUGHT
    assert json.loads((tmp_path / DEFAULTS_FILE).read_text())["grid"] == "32x8"


def test_a_missing_file_or_field_gives_the_base(tmp_path: Path) -> None:
    assert ModelDefaults.load(tmp_path) == ModelDefaults("rrle", GridShape(16, 16), None)
    assert ModelDefaults.load(tmp_path, TAUGHT) == TAUGHT
    (tmp_path / DEFAULTS_FILE).write_text('{"format": "rle"}')
    assert ModelDefaults.load(tmp_path, TAUGHT) == ModelDefaults("rle", GridShape(32, 8), 448)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        pytest.param("{", "cannot be read", id="half a file"),
        pytest.param("[]", "JSON object", id="no object"),
        pytest.param('{"format": 1}', '"format" must be a string', id="a format that is no name"),
        pytest.param('{"grid": "16"}', "ROWSxCOLS", id="a grid that is none"),
        pytest.param('{"grid": [16, 16]}', '"grid" must be a string', id="a grid as a list"),
        pytest.param('{"square": true}', "number of pixels", id="a square that is no number"),
        pytest.param('{"square": 0}', "number of pixels", id="a square of nothing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / DEFAULTS_FILE).write_text(text)
    with pytest.raises(WeightsError, match=match) as caught:
        ModelDefaults.load(tmp_path)
    assert DEFAULTS_FILE in str(caught.value)
