from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.evaluation.instance_scores import instance_ap

pytest.importorskip("faster_coco_eval")


def square(left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((100, 120), dtype=bool)
    mask[10 : 10 + side, left : left + side] = True
    return mask


def annotation(number: int, left: int) -> dict:
    mask = square(left)
    return {
        "id": number, "image_id": 1, "category_id": 3, "iscrowd": 0, "area": int(mask.sum()),
        "bbox": [left, 10, 20, 20], "segmentation": mask_to_rle(mask),
    }  # fmt: skip


def result(mask: np.ndarray, score: float) -> dict:
    return {"image_id": 1, "category_id": 3, "score": score, "segmentation": mask_to_rle(mask)}


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    document = {
        "images": [{"id": 1, "height": 100, "width": 120, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [annotation(1, 0), annotation(2, 60)],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    return path


def scored(truth: Path, results: object) -> dict:
    path = truth.parent / "results.json"
    path.write_text(results if isinstance(results, str) else json.dumps(results))
    return instance_ap(truth, path)


def test_all_found(truth: Path) -> None:
    found = scored(truth, [result(square(0), 0.9), result(square(60), 0.8)])
    assert (found["ap"], found["ap_50"], found["ar_100"]) == (pytest.approx(1), pytest.approx(1), 1)
    assert found["ap_large"] is None, "nothing large is there"


def test_half_found_and_one_invented(truth: Path) -> None:
    """By hand: recall 1/2 at precision 1, so 51 of 101 recall points have precision 1."""
    found = scored(truth, [result(square(0), 0.9), result(square(90), 0.8)])
    assert found["ap_50"] == pytest.approx(51 / 101)
    assert found["ar_100"] == pytest.approx(0.5)


def test_it_agrees_with_pycocotools(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = [result(square(2), 0.9), result(square(66), 0.7), result(square(30), 0.8)]
    found = scored(truth, results)
    coco = COCO(str(truth))
    run = COCOeval(coco, coco.loadRes(str(truth.parent / "results.json")), "segm")
    run.evaluate()
    run.accumulate()
    run.summarize()
    assert found["ap"] == pytest.approx(run.stats[0], abs=1e-6)
    assert found["ap_75"] == pytest.approx(run.stats[2], abs=1e-6)
    assert found["ar_100"] == pytest.approx(run.stats[8], abs=1e-6)


WRONG = [
    pytest.param("{", "not JSON", id="cut off"),
    pytest.param({}, "no list", id="an object"),
    pytest.param([], "empty", id="nothing"),
    pytest.param([3], "result 0: an object", id="a number"),
    pytest.param([{"image_id": 1, "category_id": 3}], "score is missing", id="no score"),
    pytest.param([{**result(square(0), 1), "image_id": 5}], "no image 5", id="another image"),
]


@pytest.mark.parametrize(("results", "words"), WRONG)
def test_wrong_results_are_named(truth: Path, results: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        scored(truth, results)


def test_wrong_truths_are_named(truth: Path) -> None:
    with pytest.raises(InputError, match="no annotation file"):
        instance_ap(truth.parent / "results.json", truth) if scored(
            truth, [result(square(0), 1)]
        ) else None
    with pytest.raises(InputError, match="cannot be read"):
        instance_ap(truth.parent / "none.json", truth)
