"""A model is had by its name or its folder, or it is said why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from text4seg import models
from text4seg.core.errors import UnknownNameError

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


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_nano_is_loaded_by_its_name() -> None:
    chat = models.load("nano")
    assert chat.defaults.format == "sd"
