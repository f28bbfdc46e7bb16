"""A model is had by its name or its folder, or it is said why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from text4seg import models
from text4seg.core.errors import UnknownNameError
from text4seg.core.types import GridShape
from text4seg.models.defaults import ModelDefaults

ROOT = Path(__file__).parents[2]


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("gpt", str(tmp_path / "empty"), str(tmp_path / "missing")):
        with pytest.raises(UnknownNameError, match=r"config\.json.*nano"):
            models.load(name)


def test_without_torch_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from text4seg import models\n"
        "from text4seg.core.errors import MissingExtraError\n"
        "try:\n    models.load('nano')\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    )
    assert "torch" in done.stdout
    assert "text4seg[hf]" in done.stdout


def test_a_module_of_the_package_that_is_missing_is_no_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "text4seg.models.nano.nano_model", None)
    with pytest.raises(ImportError, match="nano_model"):
        models.load("nano")


def test_defaults_are_read_without_loading(tmp_path: Path) -> None:
    ModelDefaults(format="rle", grid=GridShape(8, 12)).save(tmp_path)
    assert models.load_defaults(str(tmp_path)) == ModelDefaults("rle", GridShape(8, 12))
    assert models.load_defaults("nano").format == "sd"


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_nano_is_loaded_by_its_name() -> None:
    chat = models.load("nano")
    assert chat.defaults.format == "sd"
