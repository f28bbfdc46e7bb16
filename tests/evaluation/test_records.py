from __future__ import annotations

import json

import pytest

from tests.evaluation.conftest import block, cells, make_record
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Box, Size
from text4seg.evaluation import GroundTruth, Prediction, ScoreRecord, score_prediction


def test_a_record_goes_through_json_unchanged() -> None:
    full = make_record(
        block(0), block(2), cells=cells(slice(4, 8), slice(0, 4)), validity="salvaged",
        tokens=7, passes=3, seconds=0.1, score=0.5, format="sd", text="others",
    )  # fmt: skip
    boxed = GroundTruth(
        3, "b.jpg", "x", "val", mask_to_rle(block(0)), Box(0, 1, 2, 3), Size(64, 64)
    )
    cases = [full, make_record(None, None), make_record(block(1), None, index=9)]
    for record in [*cases, score_prediction(boxed, Prediction(None))]:
        assert ScoreRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


WRONG = [
    pytest.param([], "list", id="a list"),
    pytest.param({}, "truth", id="nothing"),
    pytest.param({"odd": 1}, "odd", id="an unknown key"),
    pytest.param({"pixels": [1, 2]}, "target|both|argument", id="two pixels"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_what_is_no_record_is_refused(change: object, words: str) -> None:
    good = make_record(None, None).to_json()
    with pytest.raises(InputError, match=words):
        ScoreRecord.from_json(good | change if change else change)


def test_the_validity_is_one_of_three() -> None:
    with pytest.raises(InputError, match="validity"):
        Prediction(None, validity="fine")  # type: ignore[arg-type]


def test_a_prediction_line_has_no_cells_and_keeps_an_empty_mask() -> None:
    record = make_record(block(0), None, cells=cells(slice(0, 1), slice(0, 1)), tokens=5)
    assert record.prediction.to_json() == {"mask": None, "grid": "16x16", "tokens": 5}
