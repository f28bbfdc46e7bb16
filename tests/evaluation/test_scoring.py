from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.conftest import SIDE, asked, block, cells, make_record, rectangle
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.files import write_atomically
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Box, Size
from text4seg.data import Sample
from text4seg.evaluation import GroundTruth, Prediction, ScoreRecord, score, score_prediction
from text4seg.images import mask_to_png
from text4seg.metrics import Overlap


def test_pixels_cells_boxes_and_what_the_grid_allows() -> None:
    truth = rectangle(slice(16, 32), slice(0, 18))  # half of the cells of the fifth column
    record = make_record(truth, block(0, 16), cells=cells(slice(4, 8), slice(0, 4)))
    assert record.pixels == Overlap(256, 288, 256)
    assert record.cells == Overlap(16, 20, 16), "half a cell is enough"
    assert record.oracle == pytest.approx(288 / 320)
    assert record.box_iou == pytest.approx(256 / 288)
    assert (record.present, record.prediction.grid) == (True, "16x16")
    assert record.size == Size(SIDE, SIDE)
    assert record.prediction.cells is None, "cells are not kept"
    assert record.share == pytest.approx(288 / SIDE**2)


def test_an_annotated_box_counts_before_that_of_the_mask() -> None:
    mask = mask_to_rle(block(0))
    truth = GroundTruth(0, "a", "x", "val", mask, box=Box(0, 16, 32, 32))
    assert score_prediction(truth, Prediction(mask)).box_iou == pytest.approx(0.5)


def test_nothing_there_and_nothing_said() -> None:
    absent = make_record(None, None)
    assert absent.pixels == Overlap(0, 0, 0)
    assert (absent.present, absent.oracle, absent.box_iou) == (False, None, None)
    invented = make_record(None, block(0), cells=cells(slice(0, 1), slice(0, 2)))
    assert (invented.pixels, invented.cells) == (Overlap(256, 0, 0), Overlap(2, 0, 0))
    missed = make_record(block(0), None)
    assert (missed.pixels, missed.box_iou) == (Overlap(0, 256, 0), 0.0)


def test_outlines_are_measured_where_asked_for() -> None:
    masks = [mask_to_rle(mask) for mask in (block(0), block(3))]
    truth = GroundTruth(0, "a", "x", "val", masks[0])
    assert score_prediction(truth, Prediction(masks[0])).boundary is None
    assert score_prediction(truth, Prediction(masks[0]), boundary=True).boundary == 1.0
    assert 0 < (score_prediction(truth, Prediction(masks[1]), boundary=True).boundary or 0) < 1
    assert score_prediction(truth, Prediction(None), boundary=True).boundary == 0.0


def test_masks_that_do_not_fit_are_named() -> None:
    other = mask_to_rle(np.ones((3, 4), dtype=np.bool_))
    with pytest.raises(InputError, match=r"'the dog' of a\.jpg: the answer is 3x4 and the image"):
        score_prediction(
            GroundTruth(0, "a.jpg", "the dog", "val", mask_to_rle(block(0))), Prediction(other)
        )
    with pytest.raises(InputError, match="3x4 and the image 9x9"):
        score_prediction(
            GroundTruth(0, "a.jpg", "the dog", "val", None, size=Size(9, 9)), Prediction(other)
        )
    with pytest.raises(InputError, match=r"the true mask is no mask.*sum to 1"):
        score_prediction(
            GroundTruth(0, "a.jpg", "x", "val", {"size": [2, 2], "counts": [1]}), Prediction(None)
        )


DATA = [Sample(Path("a.jpg"), (asked("the dog", block(0)), asked("the cat", None)), id="7")]
DOG = {"image": "a.jpg", "expression": "the dog", "mask": mask_to_rle(block(0))}
CAT = {"image_id": 7, "expression": "the cat", "mask": None}


def test_score_is_a_function() -> None:
    found: list[ScoreRecord] = []
    report = score([CAT, DOG], DATA, on_record=found.append)
    assert report.summaries["val"].giou == 1.0
    assert report.records == found
    assert report.run == {"missing": 0}


def test_score_reads_files_and_folders(tmp_path: Path) -> None:
    lines = tmp_path / "p.jsonl"
    lines.write_text(f"{json.dumps(DOG)}\n{json.dumps(CAT)}\n")
    assert score(str(lines), DATA).summaries["val"].giou == 1.0
    write_atomically(tmp_path / "masks" / "a.the-dog.mask.png", mask_to_png(block(0)))
    assert score(tmp_path / "masks", DATA, missing="empty").summaries["val"].giou == 1.0


def test_missing_predictions() -> None:
    with pytest.raises(InputError, match="1 of 2 questions have no prediction, the first is 'the"):
        score([CAT], DATA)
    empty = score([CAT], DATA, missing="empty")
    assert (empty.summaries["val"].miss_rate, empty.run["missing"]) == (1.0, 1)
    assert score([CAT], DATA, missing="skip").summaries["val"].questions == 1
    with pytest.raises(InputError, match="no question has a prediction"):
        score([], DATA, missing="skip")
    with pytest.raises(UnknownNameError):
        score([], DATA, missing="maybe")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="prediction 0: the truth has no image 'b'"):
        score([{**DOG, "image": "b"}], DATA)
