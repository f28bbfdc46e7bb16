"""The benchmark of refiners on a model's answers, with answers that are already kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import refine_answers
from text4seg.core.geometry import mask_to_coverage, polygons_to_mask
from text4seg.core.types import GridShape, Size

SQUARE = [[21.0, 13, 77, 13, 77, 69, 21, 69]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One image with two classes and a speck, and the model's answers: one right, one empty."""
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 96, "width": 96}],
        "categories": [{"id": n, "name": name} for n, name in enumerate(("cat", "dog", "bee"))],
        "annotations": [
            {"image_id": 1, "category_id": 0, "segmentation": SQUARE},
            {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 30, 0, 30, 30, 0, 30]]},
            {"image_id": 1, "category_id": 2, "segmentation": [[90, 90, 93, 90, 93, 93]]},
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    Image.new("RGB", (96, 96), (90, 120, 30)).save(tmp_path / "a.jpg")
    coverage = mask_to_coverage(polygons_to_mask(SQUARE, Size(96, 96)), GridShape(8, 8))
    (tmp_path / "kept").mkdir()
    np.save(tmp_path / "kept" / "a.jpg.npy", np.stack([coverage, np.zeros_like(coverage)]))
    return tmp_path


def run(folder: Path, *options: str) -> int:
    given = ["--coco", str(folder / "instances.json"), "--images", str(folder)]
    given += ["--answers", str(folder / "kept"), "--refiners", "none,bicubic,smooth"]
    return refine_answers.main([*given, *options])


def test_an_empty_answer_counts_and_gains_are_over_the_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "--json") == 0
    plain, bicubic, smooth = json.loads(capsys.readouterr().out)["results"]
    assert (plain["questions"], plain["large"]) == (2, 1)
    assert plain["iou"] == pytest.approx(plain["large iou"] / 2)
    assert plain["gain"] == [0, 0, 0]
    assert smooth["large gain"][0] > bicubic["large gain"][0] > 0
    assert run(folder) == 0
    assert "| smooth | 2 |" in capsys.readouterr().out


def test_answers_to_other_questions_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(folder / "kept" / "a.jpg.npy", np.zeros((3, 8, 8), dtype=np.float32))
    assert run(folder) == 1
    assert "holds 3 answers" in capsys.readouterr().err
