from __future__ import annotations

import math

import numpy as np
import pytest

from text4seg.metrics import (
    GREFCOCO_EMPTY_BELOW,
    Overlap,
    ciou,
    giou,
    mean_iou,
    n_acc,
    overlap,
    precision_at,
    t_acc,
)


def mask(*numbers: int, length: int = 10) -> np.ndarray:
    """A mask of one row with these pixels set."""
    array = np.zeros((1, length), dtype=np.bool_)
    array[0, list(numbers)] = True
    return array


HALF = (mask(0, 1, 2), mask(1, 2, 3))  # 2 of 4
ALL = (mask(5), mask(5))  # 1 of 1
NONE = (mask(1, 2), mask(7, 8, 9))  # 0 of 5
MISSED = (mask(), mask(0, 1))  # a target answered empty: 0 of 2
ABSENT = (mask(), mask())  # rightly empty
INVENTED = (mask(4), mask())  # wrongly not empty: 0 of 1


def test_mean_iou_weighs_samples_alike() -> None:
    assert mean_iou([HALF, ALL, NONE]) == pytest.approx(1.5 / 3)
    assert mean_iou([HALF, ABSENT]) == pytest.approx(1.5 / 2)


def test_ciou_weighs_pixels_alike() -> None:
    assert ciou([HALF, ALL, NONE]) == pytest.approx(3 / 10)
    assert ciou([HALF, MISSED, ABSENT, INVENTED]) == pytest.approx(2 / 7)
    assert math.isnan(ciou([ABSENT]))


def test_giou_counts_a_right_empty_answer_as_one() -> None:
    assert giou([HALF, MISSED, ABSENT, INVENTED]) == pytest.approx(1.5 / 4)


def test_absent_and_present_targets_apart() -> None:
    samples = [HALF, NONE, MISSED, ABSENT, INVENTED, ABSENT]
    assert n_acc(samples) == pytest.approx(2 / 3)
    assert t_acc(samples) == pytest.approx(2 / 3)
    assert math.isnan(n_acc([HALF]))
    assert math.isnan(t_acc([ABSENT]))


def test_grefcoco_calls_a_few_pixels_empty() -> None:
    speck = Overlap(predicted=49, target=0, both=0)
    blot = Overlap(predicted=50, target=0, both=0)
    part = Overlap(predicted=49, target=100, both=49)
    below = GREFCOCO_EMPTY_BELOW
    assert n_acc([speck, blot], empty_below=below) == 0.5
    assert n_acc([speck, blot]) == 0
    assert t_acc([part], empty_below=below) == 0
    assert t_acc([part]) == 1
    assert giou([speck, blot, part], empty_below=below) == pytest.approx(1 / 3)
    assert giou([speck, blot, part]) == pytest.approx(0.49 / 3)
    # A prediction called empty counts neither for nor against; the target it missed does.
    assert ciou([speck, part, Overlap(60, 60, 60)], empty_below=below) == pytest.approx(60 / 160)


def test_precision_at_includes_the_threshold() -> None:
    samples = [HALF, ALL, NONE]
    assert precision_at(samples, 0.5) == pytest.approx(2 / 3)
    assert precision_at(samples, 0.51) == pytest.approx(1 / 3)


def test_counted_samples_and_masks_score_alike() -> None:
    samples = [HALF, ALL, NONE, MISSED, ABSENT, INVENTED]
    counted = [overlap(*sample) for sample in samples]
    for figure in (mean_iou, ciou, giou, n_acc, t_acc):
        assert figure(samples) == figure(counted) == figure(iter(counted))


@pytest.mark.parametrize("figure", [mean_iou, ciou, giou, n_acc, t_acc])
def test_no_samples_is_no_number(figure: object) -> None:
    assert math.isnan(figure([]))  # type: ignore[operator]
