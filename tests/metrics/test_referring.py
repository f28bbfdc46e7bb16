from __future__ import annotations

import math

import jaxtyping
import numpy as np
import pytest

from text4seg.core.errors import InputError
from text4seg.core.geometry import mask_to_box
from text4seg.core.types import Box
from text4seg.metrics import (
    GREFCOCO_EMPTY_BELOW,
    Overlap,
    box_acc,
    box_iou,
    ciou,
    giou,
    inclusive_to_box,
    iou,
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


def test_overlap_counts_pixels() -> None:
    counted = overlap(*HALF)
    assert counted == Overlap(predicted=3, target=3, both=2)
    assert (counted.union, counted.iou) == (4, 0.5)


def test_masks_of_different_sizes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # it would speak first
    with pytest.raises(InputError, match="one size"):
        overlap(mask(1), mask(1, length=9))


@pytest.mark.parametrize(
    ("pair", "expected"),
    [(HALF, 0.5), (ALL, 1), (NONE, 0), (MISSED, 0), (ABSENT, 1), (INVENTED, 0)],
)
def test_iou(pair: tuple[np.ndarray, np.ndarray], expected: float) -> None:
    assert iou(*pair) == expected
    assert iou(*reversed(pair)) == expected


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


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Box(0, 0, 2, 2), Box(0, 0, 2, 2), 1),
        (Box(0, 0, 2, 2), Box(1, 0, 3, 2), 1 / 3),
        (Box(0, 0, 2, 2), Box(1, 1, 3, 3), 1 / 7),
        (Box(0, 0, 2, 2), Box(2, 0, 4, 2), 0),  # they touch
        (Box(0, 0, 2, 2), Box(0, 2, 2, 4), 0),
        (Box(0, 0, 1, 1), Box(5, 5, 6, 6), 0),  # apart both ways: no negative times negative
        (Box(0, 0, 0, 0), Box(0, 0, 0, 0), 0),  # nothing to agree on
        (Box(0, 0, 4, 4), Box(1, 1, 3, 3), 4 / 16),
        (None, Box(0, 0, 1, 1), 0),
        (None, None, 1),
    ],
)
def test_box_iou(first: Box | None, second: Box | None, expected: float) -> None:
    assert box_iou(first, second) == pytest.approx(expected)
    assert box_iou(second, first) == pytest.approx(expected)


def test_box_acc() -> None:
    pairs = [
        (Box(0, 0, 2, 2), Box(0, 0, 2, 2)),
        (Box(0, 0, 2, 1), Box(0, 0, 1, 1)),  # exactly one half
        (Box(0, 0, 2, 2), Box(1, 1, 3, 3)),
        (None, Box(0, 0, 1, 1)),
    ]
    assert box_acc(pairs) == 0.5
    assert box_acc(pairs, 0.6) == 0.25
    assert math.isnan(box_acc([]))


@pytest.mark.parametrize("figure", [mean_iou, ciou, giou, n_acc, t_acc])
def test_no_samples_is_no_number(figure: object) -> None:
    assert math.isnan(figure([]))  # type: ignore[operator]


def test_a_box_with_its_last_pixel_inside() -> None:
    assert inclusive_to_box(3, 1, 5, 1) == Box(3, 1, 6, 2)
    mask = np.zeros((4, 9), dtype=np.bool_)
    mask[1, 3:6] = True
    assert mask_to_box(mask) == inclusive_to_box(3, 1, 5, 1)
