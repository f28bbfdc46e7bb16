from __future__ import annotations

import pytest

from tests.evaluation.conftest import block, make_record
from text4seg.core.errors import InputError
from text4seg.evaluation import ScoreRecord
from text4seg.evaluation.compare import compare_runs


def rows(shift: int, images: int = 40) -> list[ScoreRecord]:
    """A thing in every image, found that many pixels too far right; an absent one too."""
    made = []
    for number in range(images):
        image = f"{number}.jpg"
        truth, answer = block(0), block((number % 3) + shift)
        made.append(make_record(truth, answer, image=image, index=2 * number))
        made.append(
            make_record(None, None, image=image, index=2 * number + 1, expression="the cat")
        )
    return made


def test_a_better_run_is_better_beyond_chance() -> None:
    found = compare_runs(rows(4), rows(0))
    change = found.differences["val"]["pixel_iou"]
    assert change.difference.low > 0.1
    assert change.p < 0.001
    assert change.second - change.first == pytest.approx(change.difference.value)
    assert found.differences["val"]["n_acc"].p == 1.0
    assert (found.questions, found.unpaired) == (80, 0)
    tables = found.tables()
    assert [table.title for table in tables] == ["val", "val: errors"]
    assert any(row[0] == "IoU, pixels" and row[3].startswith("+.") for row in tables[0].rows)


def test_a_run_does_not_differ_from_itself() -> None:
    found = compare_runs(rows(2), rows(2))
    for change in found.differences["val"].values():
        assert (change.difference.value, change.p) == (0.0, 1.0)


def test_rows_are_paired_by_question_not_by_place() -> None:
    shuffled = list(reversed(rows(0)))
    found = compare_runs(rows(0), shuffled[:-2])
    assert (found.questions, found.unpaired) == (78, 2)
    assert found.differences["val"]["pixel_iou"].difference.value == 0.0


def test_the_same_words_twice_are_paired_in_order() -> None:
    twice = [make_record(block(0), block(left), index=left) for left in (0, 8)]
    found = compare_runs(twice, twice)
    assert (found.questions, found.unpaired) == (2, 0)


def test_runs_that_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="no question in common"):
        compare_runs(rows(0), [make_record(None, None, image="other.jpg")])
    with pytest.raises(InputError, match="not measured on the same data"):
        compare_runs([make_record(block(0), None)], [make_record(block(0, 3), None)])
