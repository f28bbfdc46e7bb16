from __future__ import annotations

import pytest

from text4seg.evaluation import Outcome, summarise
from text4seg.evaluation.report import COLUMNS, to_cells


def outcome(**changes: object) -> Outcome:
    values: dict = {
        "set": "val",
        "truth_cells": 20,
        "grid_iou": 0.5,
        "pixel_iou": 0.4,
        "empty": False,
        "validity": "strict",
        "tokens": 100,
        "passes": 8,
        "seconds": 0.5,
    }
    return Outcome(**(values | changes))


ABSENT = {"truth_cells": 0, "grid_iou": None, "pixel_iou": None}


def test_the_figures_of_a_set() -> None:
    figures = summarise(
        [
            outcome(),
            outcome(truth_cells=12, grid_iou=0.0, pixel_iou=0.0, empty=True),
            outcome(truth_cells=13, grid_iou=1.0, pixel_iou=0.8, validity="salvaged"),
            outcome(**ABSENT, empty=True),
            outcome(**ABSENT, empty=False, validity="hopeless", passes=3, tokens=50, seconds=1.0),
        ]
    )["val"]
    assert (figures.questions, figures.present, figures.absent, figures.large) == (5, 3, 2, 2)
    assert figures.grid_iou == pytest.approx(0.5)
    assert figures.pixel_iou == pytest.approx(0.4)
    assert figures.large_grid_iou == pytest.approx(0.75), "12 cells are not large, 13 are"
    assert figures.large_pixel_iou == pytest.approx(0.6)
    assert figures.false_empties == pytest.approx(1 / 3)
    assert figures.true_empties == pytest.approx(1 / 2)
    assert (figures.strict, figures.salvaged, figures.hopeless) == (0.6, 0.2, 0.2)
    assert (figures.tokens, figures.passes) == (90, 7)
    assert figures.seconds == pytest.approx(0.6)


def test_sets_are_kept_apart_and_put_together() -> None:
    both = summarise([outcome(set="b"), outcome(set="a", grid_iou=1.0), outcome(set="b")])
    assert list(both) == ["b", "a", "all"]
    assert both["all"].questions == 3
    assert both["all"].grid_iou == pytest.approx(2 / 3)
    assert list(summarise([outcome(set="all")])) == ["all"]


def test_what_cannot_be_averaged_is_missing_not_zero() -> None:
    absent = summarise([outcome(**ABSENT, empty=True)])["val"]
    assert absent.grid_iou is None
    assert absent.false_empties is None
    assert absent.true_empties == 1.0
    assert summarise([outcome()])["val"].true_empties is None


def test_a_table_has_every_column() -> None:
    cells = to_cells(summarise([outcome(**ABSENT, empty=True)])["val"])
    named = dict(zip(COLUMNS, cells, strict=True))
    assert named["grid_iou"] == "–"
    assert named["true_empties"] == "100.0 %"
    assert named["passes"] == "8.0"
    assert to_cells(summarise([outcome(grid_iou=0.4567)])["val"])[1] == ".457"
    assert to_cells(summarise([outcome(grid_iou=1.0)])["val"])[1] == "1.000"
