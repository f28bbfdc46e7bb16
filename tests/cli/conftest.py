"""A command line with a fake model behind it, run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeChat, block
from text4seg import models
from text4seg.cli import main
from text4seg.images import mask_to_png
from text4seg.pretrained import weight_files

MASK = np.zeros((64, 96), dtype=bool)
MASK[16:32, 24:72] = True
TEXT = "others *4\n others *1| a dog *2| others *1\n others *4\n others *4\n"
DOG = block("the dog", slice(4, 8), slice(2, 10))


@dataclass
class Called:
    """What a call of the command line left behind."""

    code: int
    out: str
    err: str
    json: list[dict[str, Any]] = field(default_factory=list)


Call = Callable[..., Called]


@pytest.fixture
def call(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Run the command line in an empty folder; the output is captured to the byte."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Called:
        code = main([str(argument) for argument in arguments])
        out, err = (stream.decode() for stream in capfdbinary.readouterr())
        records = [json.loads(line) for line in out.splitlines()] if "--json" in arguments else []
        return Called(code, out, err, records)

    return run


@pytest.fixture(autouse=True)
def _nothing_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake models have no pretrained parts; a test of the parts puts in its own."""
    for name in list(weight_files.PARTS):
        monkeypatch.delitem(weight_files.PARTS, name)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> FakeChat:
    """The fake model that every name loads; it sees a dog and nothing else."""
    model = FakeChat({"the dog": DOG})
    monkeypatch.setattr(models, "load", lambda name: model, raising=False)
    return model


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of 96 x 160 in the working folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return Path("image.png")


def files_under(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_one_sentence(err: str) -> bool:
    """One line of talk that begins with `error: ` and is no traceback."""
    return err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A mask image."""
    (tmp_path / "mask.png").write_bytes(mask_to_png(MASK))
    return Path("mask.png")
