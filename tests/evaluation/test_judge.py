from __future__ import annotations

import json

import numpy as np
import pytest

from tests.evaluation.conftest import SIDE, block, make_row, rectangle
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Box, Size
from text4seg.evaluation import Answer, Row, Truth, judge
from text4seg.evaluation.rows import merge
from text4seg.metrics import Overlap


def cells(rows: slice, cols: slice) -> np.ndarray:
    grid = np.zeros((16, 16), dtype=np.bool_)
    grid[rows, cols] = True
    return grid


def test_pixels_cells_boxes_and_what_the_grid_allows() -> None:
    truth = rectangle(slice(16, 32), slice(0, 18))  # half of the cells of the fifth column
    row = make_row(truth, block(0, 16), cells=cells(slice(4, 8), slice(0, 4)))
    assert row.pixels == Overlap(256, 288, 256)
    assert row.cells == Overlap(16, 20, 16), "half a cell is enough"
    assert row.oracle == pytest.approx(288 / 320)
    assert row.box_iou == pytest.approx(256 / 288)
    assert (row.present, row.grid, row.size) == (True, "16x16", (SIDE, SIDE))
    assert row.share == pytest.approx(288 / SIDE**2)


def test_an_annotated_box_counts_before_that_of_the_mask() -> None:
    mask = mask_to_rle(block(0))
    truth = Truth(0, "a", "x", "val", mask, box=Box(0, 16, 32, 32))
    assert judge(truth, Answer(mask)).box_iou == pytest.approx(0.5)


def test_nothing_there_and_nothing_said() -> None:
    absent = make_row(None, None)
    assert absent.pixels == Overlap(0, 0, 0)
    assert (absent.present, absent.oracle, absent.box_iou) == (False, None, None)
    invented = make_row(None, block(0), cells=cells(slice(0, 1), slice(0, 2)))
    assert (invented.pixels, invented.cells) == (Overlap(256, 0, 0), Overlap(2, 0, 0))
    missed = make_row(block(0), None)
    assert (missed.pixels, missed.box_iou) == (Overlap(0, 256, 0), 0.0)


def test_outlines_are_measured_where_asked_for() -> None:
    masks = [mask_to_rle(mask) for mask in (block(0), block(3))]
    truth = Truth(0, "a", "x", "val", masks[0])
    assert judge(truth, Answer(masks[0])).boundary is None
    assert judge(truth, Answer(masks[0]), outline=True).boundary == 1.0
    assert 0 < (judge(truth, Answer(masks[1]), outline=True).boundary or 0) < 1
    assert judge(truth, Answer(None), outline=True).boundary == 0.0


def test_masks_that_do_not_fit_are_named() -> None:
    other = mask_to_rle(np.ones((3, 4), dtype=np.bool_))
    with pytest.raises(InputError, match=r"'the dog' of a\.jpg: the answer is 3x4 and the image"):
        judge(Truth(0, "a.jpg", "the dog", "val", mask_to_rle(block(0))), Answer(other))
    with pytest.raises(InputError, match="3x4 and the image 9x9"):
        judge(Truth(0, "a.jpg", "the dog", "val", None, size=Size(9, 9)), Answer(other))
    with pytest.raises(InputError, match=r"the true mask is no mask.*sum to 1"):
        judge(Truth(0, "a.jpg", "x", "val", {"size": [2, 2], "counts": [1]}), Answer(None))


def test_a_row_goes_through_json_unchanged() -> None:
    full = make_row(
        block(0), block(2), cells=cells(slice(4, 8), slice(0, 4)), validity="salvaged",
        tokens=7, passes=3, seconds=0.1, score=0.5, format="sd", text="others",
    )  # fmt: skip
    for row in (full, make_row(None, None), make_row(block(1), None, index=9)):
        assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row


WRONG = [
    pytest.param([], "got list", id="a list"),
    pytest.param({}, "size", id="nothing"),
    pytest.param({"size": [1, 2], "odd": 1}, "odd", id="an unknown key"),
    pytest.param({"size": [1, 2], "pixels": [1, 2]}, "target|both|argument", id="two pixels"),
]


@pytest.mark.parametrize(("record", "words"), WRONG)
def test_what_is_no_row_is_refused(record: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Row.from_json(record)
    good = make_row(None, None).to_json()
    with pytest.raises(InputError, match="validity"):
        Row.from_json(good | {"validity": "fine"})


def test_rows_of_several_processes_are_put_in_order() -> None:
    rows = [make_row(None, None, index=index) for index in range(5)]
    assert merge([rows[1::2], rows[::2], rows[:2]]) == rows
    with pytest.raises(InputError, match="question 0 is"):
        merge([rows, [make_row(None, None, expression="the cat")]])
