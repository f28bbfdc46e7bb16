from __future__ import annotations

import math

import numpy as np
import pytest

from text4seg.core.geometry import mask_to_box
from text4seg.core.types import Box
from text4seg.metrics import box_acc, box_iou, inclusive_to_box


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


def test_a_box_with_its_last_pixel_inside() -> None:
    assert inclusive_to_box(3, 1, 5, 1) == Box(3, 1, 6, 2)
    mask = np.zeros((4, 9), dtype=np.bool_)
    mask[1, 3:6] = True
    assert mask_to_box(mask) == inclusive_to_box(3, 1, 5, 1)
