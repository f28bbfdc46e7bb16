"""Polygons become the pixels that pycocotools draws, every one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pycocotools import mask as coco

from text4seg.core.coverage import polygons_to_cells, polygons_to_coverage, polygons_to_rles
from text4seg.core.errors import InputError
from text4seg.core.geometry import mask_to_coverage, mask_to_grid
from text4seg.core.polygons import FARTHEST, polygons_to_runs
from text4seg.core.run_lengths import Runs, rle_to_mask, rles_to_runs
from text4seg.core.types import GridShape, Size

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools

# Near and in the image, on the corners and the middles of pixels where roundings tie, and far off.
NUMBERS = (
    st.floats(-4, 30, width=32)
    | st.integers(-30, 250).map(lambda tenths: tenths / 10)
    | st.floats(-500, 500)
)
POLYGONS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=8).map(
    lambda points: [number for point in points for number in point]
)
SIZES = st.builds(Size, st.integers(1, 24), st.integers(1, 24))
OUTLINES = st.tuples(st.lists(POLYGONS, max_size=3), SIZES)
DOT = [3.0] * 6


def pixels(runs: Runs) -> np.ndarray:
    """A mask drawn one run after the other."""
    flat = np.zeros(runs.size.pixels, dtype=np.bool_)
    for start, end in zip(runs.starts, runs.ends, strict=True):
        assert start < end
        assert not flat[start:end].any()
        flat[start:end] = True
    return flat.reshape((runs.size.height, runs.size.width), order="F")


def drawn(polygons: Sequence[Sequence[float]], size: Size) -> np.ndarray:
    """What pycocotools draws."""
    lists = [list(map(float, polygon)) for polygon in polygons] or [[0.0] * 6]
    merged = coco.merge(coco.frPyObjects(lists, size.height, size.width))
    return np.asarray(coco.decode(merged)).astype(bool)


@given(st.lists(OUTLINES, max_size=4))
@example([([DOT, DOT], Size(9, 9)), ([], Size(2, 2)), ([DOT], Size(1, 1))])
@example([([[0.0, 0, 0, 24, 24, 24, 24, 0]] * 2, Size(24, 24))])  # all of it, twice
@example([([[0.5, 0.5, 8.5, 8.5, 0.5, 8.5]], Size(9, 9))])  # along the middles of pixels
@example([([[-9.0, -9, 9e3, 4, -9, 9e4]], Size(24, 24))])  # far beyond all sides
@example([([[2.0, 2, 12, 12, 12, 2, 2, 12]], Size(16, 16))])  # it crosses itself
def test_every_pixel_is_that_of_pycocotools(
    outlines: list[tuple[list[list[float]], Size]],
) -> None:
    for (polygons, size), runs in zip(outlines, polygons_to_runs(outlines), strict=True):
        assert runs.size == size
        assert (np.diff(runs.starts) > 0).all()
        assert np.array_equal(pixels(runs), drawn(polygons, size))


@given(OUTLINES, st.builds(GridShape, st.integers(1, 30), st.integers(1, 30)))
def test_cells_are_those_of_the_pixels(
    outline: tuple[list[list[float]], Size], shape: GridShape
) -> None:
    mask = drawn(*outline)
    (coverage,) = polygons_to_coverage([outline], shape)
    assert np.array_equal(coverage, mask_to_coverage(mask, shape))
    for rule in ("coverage", "iou", "center"):
        (cells,) = polygons_to_cells([outline], shape, rule)
        assert np.array_equal(cells, mask_to_grid(mask, "dog", shape, rule).select("dog"))


def test_many_large_outlines_are_drawn_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    outlines = []
    for at in range(150):  # more than are drawn at once
        size = Size(427 + at, 640 - at)
        corners = random.normal(300, 200, (1 + at % 3, 2 * random.integers(3, 40)))
        outlines.append((corners.tolist(), size))
    outlines.append(([[9e3, 9e3, 1.5e4, 1e4, 1e4, 1.6e4]], Size(16_000, 16_000)))
    found = polygons_to_runs(outlines)
    for runs, expected in zip(found, rles_to_runs(polygons_to_rles(outlines)), strict=True):
        assert runs.area == expected.area == runs.overlap(expected)
        assert runs.box == expected.box
    covered = polygons_to_coverage(outlines[:9], GridShape(16, 24))
    for rle, coverage in zip(polygons_to_rles(outlines[:9]), covered, strict=True):
        assert np.array_equal(coverage, mask_to_coverage(rle_to_mask(rle), GridShape(16, 24)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        pytest.param([1.0] * 5, "polygon 1 is not a list", id="half a point"),
        pytest.param([1.0] * 4, "polygon 1 is not a list", id="a line"),
        pytest.param([], "polygon 1 is not a list", id="nothing"),
        pytest.param([float("nan")] * 6, "polygon 1 is not a list", id="no number"),
        pytest.param([float("inf")] * 6, "polygon 1 is not a list", id="infinity"),
        pytest.param([10**400] * 6, "polygon 1 is not a list", id="too large a number"),
        pytest.param([None] * 6, "polygon 1 is not a list", id="none"),
        pytest.param([[1, 2]] * 6, "polygon 1 is not a list", id="points"),
        pytest.param(7, "polygon 1 is not a list", id="no list"),
        pytest.param([FARTHEST * 2.0] * 6, "polygon 1 has a point farther", id="far off"),
    ],
)
def test_no_polygon_is_told(polygon: object, message: str) -> None:
    for function in (polygons_to_runs, polygons_to_rles):
        with pytest.raises(InputError, match=message):
            function([([DOT], Size(9, 9)), ([DOT, polygon], Size(9, 9))])  # type: ignore[list-item]


def test_too_large_an_image_is_told() -> None:
    with pytest.raises(InputError, match="larger than"):
        polygons_to_runs([([DOT], Size(1 << 15, 1 << 14))])
