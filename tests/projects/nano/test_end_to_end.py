"""The one command that trains nano, from images with masks to weights that answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.nano_model import NanoModel
from text4seg.segmenter import Segmenter

IMAGES = Path(__file__).parents[3] / "examples" / "photos"


def write_coco(root: Path, split: str, file_name: str) -> None:
    with Image.open(root / "coco" / "images" / file_name) as image:
        width, height = image.size
    outline = [0, 0, width / 2, 0, width / 2, height / 2, 0, height / 2]
    document = {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(COCO_CLASSES)],
        "annotations": [{"image_id": 1, "category_id": 16, "segmentation": [outline]}],
    }
    (root / "coco" / f"instances_{split}.json").write_text(json.dumps(document))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Each collection with an image or two, all of them from the examples."""
    root = tmp_path / "data"
    for folder in ("coco/images", "clothing/images", "clothing/masks", "panoptic/masks"):
        (root / folder).mkdir(parents=True)
    for image in ("cat.jpg", "coffee.jpg"):
        shutil.copy(IMAGES / image, root / "coco" / "images")
    write_coco(root, "train", "cat.jpg")
    write_coco(root, "val", "coffee.jpg")
    for stem in ("1", "2"):
        shutil.copy(IMAGES / "astronaut.jpg", root / "clothing" / "images" / f"{stem}.jpg")
        label = np.zeros((32, 32), dtype=np.uint8)
        label[16:] = 1
        Image.fromarray(label).save(root / "clothing" / "masks" / f"{stem}.png")
    index = {"labels": ["null", "suit", "hat", "boots"], "train": ["1"], "val": ["2"]}
    (root / "clothing" / "index.json").write_text(json.dumps(index))
    Image.new("RGB", (20, 20), (1, 0, 0)).save(root / "panoptic" / "masks" / "a.png")
    panoptic: dict[str, Any] = {
        "categories": [{"id": 1, "name": "wall-other-merged"}],
        "images": [{"id": 1, "folder": "coco/images", "file_name": "cat.jpg"}],
        "annotations": [
            {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]}
        ],
    }
    (root / "panoptic" / "panoptic.json").write_text(json.dumps(panoptic))
    for folder, name in (("imagenet", "n02123045_tabby"), ("people", "1")):
        (root / "photos" / folder).mkdir(parents=True)
        shutil.copy(IMAGES / "cat.jpg", root / "photos" / folder / f"{name}.jpg")
    return root


@pytest.mark.slow
@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_one_command_makes_weights_that_answer(data: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    command = [sys.executable, "-m", "projects.nano", "all", "--data", data]
    command += ["--work", work, "--out", out, "--images", "photos/people", "--steps", "2"]
    command += ["--answer-images", "6"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"grounding.pt", "writing.pt", "vqa.pt", "grounding.jsonl", "pseudo.jsonl"} <= {
        p.name for p in work.iterdir()
    }
    chat = NanoModel.load(out)
    assert {"hat", "beanie", "boots"} <= set(chat.model.config.look_alikes)
    found = Segmenter.from_pretrained(str(out))(IMAGES / "cat.jpg", "the cat")
    assert found.mask.shape == (300, 451)
    assert Segmenter(chat).answer(IMAGES / "cat.jpg", "Is there a cat?").tokens is not None
