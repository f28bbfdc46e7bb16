"""Every command of docs/tutorial.md, on images and masks as the page lays them out."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

pytest.importorskip("trl")

from text4seg.cli import main
from text4seg.core.run_lengths import rle_to_mask
from text4seg.models.nano.nano_model import NanoModel

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "photos"
pytestmark = [pytest.mark.nano, pytest.mark.usefixtures("nano_parts")]


def make_data(folder: Path, images: int) -> None:
    """Crops and mirror images of the example images, each with the masks of what is there."""
    lines = [json.loads(line) for line in (IMAGES / "examples.jsonl").read_text().splitlines()]
    present = [line for line in lines if line["mask"] is not None]
    names = sorted({line["image"] for line in present})
    (folder / "images").mkdir(parents=True)
    for number in range(images):
        name = names[number % len(names)]
        image = Image.open(IMAGES / name).convert("RGB")
        cut = number // len(names) * 4
        box = (cut, cut, image.width - cut, image.height - cut)

        def changed(picture: Image.Image, box: tuple[int, ...] = box, n: int = number):
            return ImageOps.mirror(picture.crop(box)) if n % 2 else picture.crop(box)

        changed(image).save(folder / "images" / f"{number:04}.jpg")
        found = next(line for line in present if line["image"] == name)
        mask = Image.fromarray(rle_to_mask(found["mask"]).astype(np.uint8) * 255)
        (folder / "masks" / "zip").mkdir(parents=True, exist_ok=True)
        changed(mask).save(folder / "masks" / "zip" / f"{number:04}.png")


def commands() -> list[str]:
    page = (ROOT / "docs" / "tutorial.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("text4seg ")]


def walk_through(folder: Path, monkeypatch: pytest.MonkeyPatch, images: int, *smaller: str) -> None:
    make_data(folder / "my-data", images)
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "photo.jpg").symlink_to(IMAGES / "cat.jpg")
    monkeypatch.chdir(folder)
    for command in commands():
        words = shlex.split(command)[1:]
        if words[0] == "train":
            words += [word for change in smaller for word in ("--set", change)]
        assert main(words) == 0, command
    assert (folder / "out" / "samples.html").is_file()
    assert list((folder / "out").glob("*.overlay.png"))
    assert (folder / "out" / "run" / "report.html").is_file()


def test_there_are_commands() -> None:
    verbs = [command.split()[1] for command in commands()]
    assert verbs == ["build", "build", "train", "train", "segment", "evaluate"]


def test_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("training.steps=1", "training.batch=2", "training.device_batch=2")
    walk_through(tmp_path, monkeypatch, 4, *few)
    assert "IoU before" in capsys.readouterr().out
    assert NanoModel.load(tmp_path / "runs/nano-own-data/merged").model.config.names[-1] == "zip"


@pytest.mark.slow
def test_a_hundred_images_are_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the page has it, with fewer steps; the word means something else in nano's own English."""
    walk_through(tmp_path, monkeypatch, 100, "training.steps=60", "training.learning_rate=4e-4")
    told = json.loads((tmp_path / "runs/nano-own-data/provenance.json").read_text())
    before, after = (told[when]["mask-pairs"]["grid_iou"] for when in ("before", "after"))
    print(capsys.readouterr().out)
    assert after > before + 0.1
