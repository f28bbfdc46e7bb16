from __future__ import annotations

import numpy as np

from tests.refine.conftest import cells, disc
from text4seg.core.geometry import mask_to_coverage
from text4seg.core.types import GridShape
from text4seg.refine._field import Field, at_outline, clamp_off_outline, covering_field, softness


def test_coverage_is_soft_at_the_outline_and_a_sure_model_is_not() -> None:
    coverage = mask_to_coverage(disc(320, 480), GridShape(16, 16))
    assert softness(coverage) > 0.17
    assert softness((coverage >= 0.5).astype(np.float32)) == 0
    sure = 1 / (1 + np.exp(-15 * (coverage - 0.5)))
    assert 0 < softness(sure) < 0.1
    assert softness(np.ones((4, 4), dtype=np.float32)) == 0


def test_the_field_covers_each_cell_by_its_probability() -> None:
    coverage = mask_to_coverage(disc(320, 480), GridShape(16, 16)).astype(np.float32)
    places = (np.arange(160) + 0.5) / 160
    cut = covering_field(coverage).at(places, places) >= 0.5
    shares = cut.reshape(16, 10, 16, 10).mean(axis=(1, 3))
    assert np.abs(shares - coverage).mean() < 0.01


def test_a_field_takes_its_values_at_the_centers_of_the_cells() -> None:
    values = np.arange(12.0).reshape(3, 4)
    ys, xs = ((np.arange(n) + 0.5) / n for n in values.shape)
    assert np.allclose(Field(values).at(ys, xs), values)


def test_off_the_outline_probabilities_become_zero_or_one() -> None:
    probability = cells(0.1, 0.8)
    kept = at_outline(probability)
    clamped = clamp_off_outline(probability)
    assert np.array_equal(clamped[kept], probability[kept])
    assert set(clamped[~kept].tolist()) == {0.0, 1.0}
