from __future__ import annotations

import pytest

from tests.evaluation.conftest import block, cells, make_record
from text4seg.evaluation import ScoreRecord, summarize
from text4seg.evaluation.summary import COLUMNS, Summary, intervals_of, to_cells

WHOLE = {"cells": cells(slice(4, 8), slice(0, 4)), "validity": "strict", "tokens": 100}


@pytest.fixture
def rows() -> list[ScoreRecord]:
    """One found exactly, one by half, one missed, one rightly empty, one invented."""
    return [
        make_record(block(0), block(0), **WHOLE, passes=8, seconds=0.5),
        make_record(
            block(0), block(0, 8), cells=cells(slice(4, 8), slice(0, 2)), validity="salvaged"
        ),
        make_record(block(0, 4), None, cells=cells(slice(0, 0), slice(0, 0)), validity="strict"),
        make_record(None, None, image="b.jpg", validity="strict", tokens=50),
        make_record(None, block(0, 1), image="c.jpg", validity="unparsable"),
    ]


def test_the_figures_of_a_set(rows: list[ScoreRecord]) -> None:
    found = summarize(rows)["val"]
    assert (found.questions, found.present, found.absent, found.large) == (5, 3, 2, 2)
    assert found.grid_iou == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.pixel_iou == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.large_grid_iou == found.large_pixel_iou == pytest.approx(0.75)
    assert found.ciou == pytest.approx((256 + 128) / (256 + 256 + 64 + 16))
    assert found.giou == pytest.approx((1 + 0.5 + 0 + 1 + 0) / 5)
    assert found.precision == pytest.approx((2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3))
    assert found.box_acc == pytest.approx(2 / 3)
    assert found.oracle_iou == 1.0
    assert (found.miss_rate, found.n_acc) == (pytest.approx(1 / 3), 0.5)
    assert (found.strict, found.salvaged, found.unparsable) == (0.6, 0.2, 0.2)
    assert (found.tokens, found.passes, found.seconds) == (75, 8, 0.5)
    assert found.boundary_f is None


def test_few_pixels_may_count_as_empty(rows: list[ScoreRecord]) -> None:
    found = summarize(rows, empty_below=50)["val"]
    assert found.n_acc == 1.0, "16 pixels were invented"
    assert found.giou == pytest.approx((1 + 0.5 + 0 + 1 + 1) / 5)


def test_sets_are_kept_apart_and_put_together(rows: list[ScoreRecord]) -> None:
    both = [make_record(None, None, name=name) for name in "bab"]
    assert {name: one.questions for name, one in summarize(both).items()} == {
        "b": 2, "a": 1, "all": 3,
    }  # fmt: skip
    assert list(summarize([make_record(None, None, name="all")])) == ["all"]


def test_what_cannot_be_averaged_is_missing_not_zero() -> None:
    absent = summarize([make_record(None, None)])["val"]
    assert (absent.grid_iou, absent.pixel_iou, absent.ciou) == (None, None, None)
    assert (absent.miss_rate, absent.strict, absent.tokens) == (None, None, None)
    assert (absent.n_acc, absent.giou) == (1.0, 1.0)
    assert summarize([make_record(block(0), None)])["val"].n_acc is None


def test_a_table_has_every_column(rows: list[ScoreRecord]) -> None:
    shown = to_cells(summarize(rows)["val"])
    assert list(shown) == list(COLUMNS)
    assert shown["grid_iou"] == ".500"
    assert shown["precision"] == ".667 .333 .333 .333 .333"
    assert shown["boundary_f"] == "–"
    assert shown["n_acc"] == "50.0 %"
    assert to_cells(summarize([make_record(None, None)])["val"])["precision"] == "–"


def test_a_summary_is_read_from_a_report_of_another_version() -> None:
    old = {"questions": 1, "present": 1, "absent": 0, "grid_iou": 0.5, "pixel_iou": 0.5}
    old |= dict.fromkeys(("large_grid_iou", "large_pixel_iou", "miss_rate", "n_acc"))
    old |= dict.fromkeys(("strict", "salvaged", "unparsable", "tokens", "passes", "seconds"), 1.0)
    assert Summary.from_json(old | {"large": 0, "newer": 3}).ciou is None


def test_intervals_hold_their_figures(rows: list[ScoreRecord]) -> None:
    found = intervals_of(rows)
    figures = summarize(rows)["val"]
    assert found["pixel_iou"].value == pytest.approx(figures.pixel_iou)
    assert found["ciou"].value == pytest.approx(figures.ciou)
    assert found["giou"].value == pytest.approx(figures.giou)
    assert found["n_acc"].value == figures.n_acc
    assert found["t_acc"].value == pytest.approx(1 - (figures.miss_rate or 0))
    for interval in found.values():
        assert interval.low <= interval.value <= interval.high
    assert intervals_of(rows[:3]) == {}, "of one image there is nothing to draw"
