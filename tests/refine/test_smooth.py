from __future__ import annotations

import numpy as np
import pytest

from tests.refine.conftest import IMAGE, SIZE, cells
from text4seg.core.geometry import probability_to_mask
from text4seg.refine import none, smooth


def test_smooth_covers_each_cell_as_its_probability_says() -> None:
    mask = smooth(IMAGE, cells(0.0, 0.7), SIZE).mask
    border = 12 * 48 * 0.7 + 4 * 48  # the four cells within are surely in
    assert mask.sum() == pytest.approx(border, rel=0.03)
    unsure, sure = (smooth(IMAGE, cells(*p), SIZE).mask.sum() for p in ((0.1, 0.55), (0.4, 1.0)))
    assert unsure < none(IMAGE, cells(0.4, 1.0), SIZE).mask.sum() < sure


def test_a_doubt_far_from_the_outline_makes_no_island() -> None:
    probability = cells(0.0, 0.9)
    probability[0, 7] = 0.45
    assert not smooth(IMAGE, probability, SIZE).mask[:6, 56:].any()


def test_smooth_of_a_plain_yes_or_no_is_bicubic() -> None:
    expected = probability_to_mask(cells(0.0, 1.0), SIZE, "bicubic")
    assert np.array_equal(smooth(IMAGE, cells(0.0, 1.0), SIZE).mask, expected)
