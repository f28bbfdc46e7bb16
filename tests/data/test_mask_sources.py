from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text4seg.core.geometry import mask_to_coverage
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import GridShape, Size
from text4seg.data import MaskUnion, PolygonMask, RunLengthMask
from text4seg.data.mask_sources import sources_to_coverage


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]),
)
def test_run_lengths_cover_what_their_pixels_cover(seed, height, width, rows, cols, share) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    region, shape = RunLengthMask.from_coco(mask_to_rle(mask)), GridShape(rows, cols)
    assert np.array_equal(sources_to_coverage([region], shape)[0], mask_to_coverage(mask, shape))


POLYGONS = [
    pytest.param([[1.0, 1.0, 20.0, 2.0, 15.0, 28.0]], id="a triangle"),
    pytest.param([[-5.0, -5.0, 99.0, -5.0, 99.0, 99.0, -5.0, 99.0]], id="beyond the image"),
    pytest.param([[1.0, 1.0, 9.0, 1.0, 9.0, 9.0], [5.0, 5.0, 30.0, 5.0, 30.0, 20.0]], id="two"),
]


@pytest.mark.parametrize("polygons", POLYGONS)
def test_polygons_cover_what_is_drawn(polygons: list[list[float]]) -> None:
    size = Size(31, 33)
    region = PolygonMask(size, tuple(map(tuple, polygons)))
    plain = RunLengthMask(size, list(mask_counts(region)))
    for one in (region, MaskUnion((region, PolygonMask(size, ((2.0, 2.0, 8.0, 2.0, 8.0, 30.0),))))):
        shape = GridShape(16, 24)
        expected = mask_to_coverage(one.to_mask(), shape)
        assert np.array_equal(sources_to_coverage([one], shape)[0], expected)
    joined = MaskUnion((plain, region))
    assert joined.undrawn_rle() is not None
    assert np.array_equal(
        sources_to_coverage([joined], GridShape(5, 7))[0],
        mask_to_coverage(region.to_mask(), GridShape(5, 7)),
    )


def mask_counts(region: PolygonMask) -> list[int]:
    """The plain counts of a region's pixels."""
    flat = region.to_mask().ravel(order="F")
    edges = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]))
    counts = np.diff(edges).tolist()
    return [0, *counts] if flat[0] else counts
