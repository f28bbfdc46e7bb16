from __future__ import annotations

import pytest

from tests.evaluation.conftest import block, cells, make_record, rectangle
from text4seg.evaluation.groups import (
    MEANINGS,
    NO_POSITION,
    VERDICTS,
    by_position,
    by_size,
    error_split,
    position_groups,
    size_group,
    verdict,
)

SPECK = rectangle(slice(0, 3), slice(0, 3))

CASES = [
    pytest.param(make_record(block(0), block(0)), "right", id="found"),
    pytest.param(make_record(block(0), block(8)), "coarse", id="a third of it"),
    pytest.param(make_record(block(0), block(15)), "wrong object", id="it hardly touches"),
    pytest.param(make_record(block(0), block(40)), "wrong object", id="elsewhere"),
    pytest.param(make_record(block(0), None), "missed", id="nothing"),
    pytest.param(make_record(None, None), "right", id="rightly nothing"),
    pytest.param(make_record(None, block(0)), "hallucinated", id="invented"),
    pytest.param(make_record(block(0), None, validity="unparsable"), "unparsable", id="no text"),
    pytest.param(make_record(None, None, validity="unparsable"), "unparsable", id="no luck either"),
    pytest.param(make_record(block(0), block(0), validity="salvaged"), "right", id="repaired"),
    pytest.param(
        make_record(
            rectangle(slice(0, 2), slice(0, 2)),
            rectangle(slice(0, 4), slice(0, 4)),
            cells=cells(slice(0, 1), slice(0, 1)),
        ),
        "grid too coarse",
        id="a quarter of a cell",
    ),
]


@pytest.mark.parametrize(("row", "expected"), CASES)
def test_verdicts(row: object, expected: str) -> None:
    assert verdict(row) == expected  # type: ignore[arg-type]


def test_few_pixels_may_count_as_empty() -> None:
    assert verdict(make_record(None, SPECK), empty_below=50) == "right"
    assert verdict(make_record(block(0), SPECK), empty_below=50) == "missed"


def test_a_split_counts_every_question_once() -> None:
    rows = [case.values[0] for case in CASES]
    split = error_split(rows)  # type: ignore[arg-type]
    assert list(split) == list(VERDICTS) == list(MEANINGS)
    assert sum(split.values()) == len(rows)
    assert split["right"] == 3


def test_sizes() -> None:
    assert size_group(make_record(None, None)) is None
    assert size_group(make_record(SPECK, None)) == "under 0.5 %"
    assert size_group(make_record(block(0), None)) == "5 – 20 %"
    whole = rectangle(slice(None), slice(None))
    assert size_group(make_record(whole, None)) == "20 % and more"
    rows = [make_record(mask, None) for mask in (whole, None, SPECK)]
    assert list(by_size(rows)) == ["under 0.5 %", "20 % and more"]


@pytest.mark.parametrize(
    ("expression", "groups"),
    [
        ("the left dog", ["left, right"]),
        ("Second man from the RIGHT", ["left, right", "order"]),
        ("the cup next to the top shelf", ["above, below", "beside"]),
        ("the 3rd car", ["order"]),
        ("the small one in the middle", ["middle", "size, degree"]),
        ("the person behind the fence", ["front, back"]),
        ("the laptop", [NO_POSITION]),  # holds "top"
        ("a bright bus", [NO_POSITION]),  # holds "right"
    ],
)
def test_position_words_are_whole_words(expression: str, groups: list[str]) -> None:
    assert position_groups(expression) == groups


def test_a_set_without_position_words_has_no_such_table() -> None:
    assert by_position([make_record(None, None)]) == {}
    both = [make_record(None, None), make_record(None, None, expression="the left dog")]
    assert list(by_position(both)) == ["left, right", NO_POSITION]
