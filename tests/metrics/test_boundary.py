from __future__ import annotations

import numpy as np
import pytest

from text4seg.core.errors import InputError
from text4seg.metrics import boundary_f
from text4seg.metrics.boundary import outline


def square(left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((60, 80), dtype=np.bool_)
    mask[20 : 20 + side, left : left + side] = True
    return mask


def test_an_outline_runs_between_pixels_that_differ() -> None:
    mask = np.zeros((4, 4), dtype=np.bool_)
    mask[1:3, 1:3] = True
    assert outline(mask).astype(int).tolist() == [
        [1, 1, 1, 0],
        [1, 0, 1, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 0],
    ]


def test_near_outlines_meet_and_far_ones_do_not() -> None:
    assert boundary_f(square(20), square(20)) == 1
    assert boundary_f(square(20), square(21)) == 1, "the diagonal is 100: one pixel is near"
    part = boundary_f(square(20), square(24))
    assert 0 < part < 1, "the upper and lower edges still meet"
    assert boundary_f(square(20), square(24), tolerance=0.04) == 1
    assert boundary_f(square(0, 10), square(60, 10)) == 0


def test_empty_masks() -> None:
    nothing, everything = np.zeros((9, 9), np.bool_), np.ones((9, 9), np.bool_)
    assert boundary_f(nothing, nothing) == 1
    assert boundary_f(nothing, everything) == 1, "neither has an outline inside the frame"
    assert boundary_f(nothing, np.eye(9, dtype=np.bool_)) == 0


def test_a_tolerance_larger_than_the_image() -> None:
    assert boundary_f(square(0), square(60), tolerance=2.0) == 1


def test_other_sizes_are_refused(unchecked: None) -> None:
    with pytest.raises(InputError, match="one size"):
        boundary_f(square(0), square(0)[:5])
