from __future__ import annotations

import math

import numpy as np
import pytest

from text4seg.core.errors import InputError
from text4seg.metrics import compare_ratios, ratio_interval, ratio_intervals


def means(values: object) -> np.ndarray:
    """A figure that is a plain mean."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.stack([numbers, np.ones_like(numbers)], axis=1)


def test_the_value_is_the_ratio_of_sums() -> None:
    parts = np.array([[1.0, 4.0], [2.0, 2.0], [0.0, 0.0]])
    found = ratio_interval(parts, ["a", "b", "c"])
    assert found.value == 0.5
    assert found.low <= 0.5 <= found.high
    assert found == ratio_interval(parts, ["a", "b", "c"]), "draws are seeded"


def test_an_interval_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, size=400)
    found = ratio_interval(means(values), range(400))
    error = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - error, abs=error / 5)
    assert found.high == pytest.approx(values.mean() + error, abs=error / 5)


def test_questions_about_one_image_are_drawn_together() -> None:
    values = np.repeat(np.random.default_rng(2).random(50), 20)
    apart = ratio_interval(means(values), range(1000))
    together = ratio_interval(means(values), np.repeat(range(50), 20).tolist())
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_figures_together_are_figures_apart() -> None:
    random = np.random.default_rng(3)
    parts = random.random((30, 3, 2))
    images = random.integers(0, 9, size=30).tolist()
    together = ratio_intervals(parts, images)
    assert together == [ratio_interval(parts[:, figure], images) for figure in range(3)]


def test_the_same_answers_do_not_differ() -> None:
    parts = means([0.1, 0.5, 0.9])
    found = compare_ratios(parts, parts, "abc")
    assert (found.difference.value, found.p) == (0.0, 1.0)


def test_a_clear_difference_is_clear_and_chance_is_not() -> None:
    random = np.random.default_rng(4)
    first = random.random(200)
    better = np.clip(first + 0.05 + 0.05 * random.random(200), 0, 2)
    found = compare_ratios(means(first), means(better), range(200))
    assert found.difference.low > 0.06
    assert found.difference.high < 0.09
    assert found.p == pytest.approx(1 / 2001)
    shuffled = first + random.normal(0, 0.1, size=200)
    assert compare_ratios(means(first), means(shuffled), range(200)).p > 0.05
    back = compare_ratios(means(better), means(first), range(200))
    assert back.difference.value == -found.difference.value


def test_p_is_that_of_all_swaps() -> None:
    """Of three images all eight swaps can be written down: 2 of 8 are as extreme."""
    found = compare_ratios(means([0.0, 0.0, 0.0]), means([1.0, 1.0, 1.0]), "abc", draws=20_000)
    assert found.p == pytest.approx(2 / 8, abs=0.02)


def test_nothing_is_no_number() -> None:
    nothing = ratio_interval(np.zeros((2, 2)), "ab")
    assert all(map(math.isnan, (nothing.value, nothing.low, nothing.high)))
    assert math.isnan(ratio_interval(np.zeros((0, 2)), "").value)
    assert math.isnan(compare_ratios(np.zeros((2, 2)), np.zeros((2, 2)), "ab").p)


def test_samples_that_do_not_pair_are_refused(unchecked: None) -> None:
    with pytest.raises(InputError, match="3 and 2 samples"):
        compare_ratios(means([1, 2, 3]), means([1, 2]), "abc")
    with pytest.raises(InputError, match="images"):
        ratio_interval(means([1, 2, 3]), "ab")
