"""Coverage from runs and polygons is that of the pixels, to the last bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from text4seg.core.coverage import (
    RULES,
    Rule,
    coverages_to_best_cells,
    coverages_to_cells,
    polygons_to_coverage,
    polygons_to_rle,
    polygons_to_rles,
    rles_to_cells,
    rles_to_coverage,
    runs_to_center_cells,
)
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.geometry import coverage_to_cells, mask_to_coverage, mask_to_grid
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask, rle_to_runs, rles_to_runs
from text4seg.core.types import GridShape, Size

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))
SHAPES = st.builds(GridShape, st.integers(1, 9), st.integers(1, 20))


@given(st.lists(MASKS, max_size=4), SHAPES)
def test_it_is_the_coverage_of_the_pixels(masks: list[np.ndarray], shape: GridShape) -> None:
    found = rles_to_coverage([mask_to_rle(mask) for mask in masks], shape)
    assert found.shape == (len(masks), shape.rows, shape.cols)
    for mask, coverage in zip(masks, found, strict=True):
        assert np.array_equal(coverage, mask_to_coverage(mask, shape))


@given(MASKS, SHAPES)
def test_center_needs_no_pixels_either(mask: np.ndarray, shape: GridShape) -> None:
    (cells,) = runs_to_center_cells([rle_to_runs(mask_to_rle(mask))], shape)
    grid = mask_to_grid(mask, "dog", shape, rule="center")
    assert np.array_equal(cells, grid.select("dog"))


@given(st.lists(MASKS, min_size=1, max_size=4), SHAPES, st.sampled_from([0.25, 0.5, 0.9]))
def test_the_rule_for_many_is_the_rule_for_one(
    masks: list[np.ndarray], shape: GridShape, threshold: float
) -> None:
    coverages = np.stack([mask_to_coverage(mask, shape) for mask in masks])
    for cells, coverage in zip(coverages_to_cells(coverages, threshold), coverages, strict=True):
        assert np.array_equal(cells, coverage_to_cells(coverage, threshold=threshold))


@given(arrays(np.bool_, (6, 12)))
def test_no_other_cells_fit_better_than_the_best(mask: np.ndarray) -> None:
    shape = GridShape(2, 4)
    coverage = mask_to_coverage(mask, shape)
    best = coverages_to_best_cells(coverage[None])[0]

    def fit(cells: np.ndarray) -> float:
        blocks = np.kron(cells, np.ones((3, 3))) > 0
        return float((blocks & mask).sum() / max(1, (blocks | mask).sum()))

    every = (np.array(cells).reshape(2, 4) for cells in itertools.product([False, True], repeat=8))
    assert fit(best) == pytest.approx(max(map(fit, every)), abs=1e-6)
    assert best.any() == mask.any()


@given(st.lists(MASKS, max_size=3), SHAPES, st.sampled_from(RULES))
def test_many_masks_by_any_rule(masks: list[np.ndarray], shape: GridShape, rule: Rule) -> None:
    cells = rles_to_cells([mask_to_rle(mask) for mask in masks], shape, rule)
    for one, mask in zip(cells, masks, strict=True):
        assert np.array_equal(one, mask_to_grid(mask, "dog", shape, rule).select("dog"))


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_rule_is_told() -> None:
    with pytest.raises(UnknownNameError, match="iou"):
        rles_to_cells([], GridShape(1, 1), "half")  # type: ignore[arg-type]


def test_outlines_of_several_sizes_keep_their_order() -> None:
    square, sliver = [1.0, 1, 5, 1, 5, 5, 1, 5], [0.0, 0, 9, 0, 9, 1]
    outlines = [([square], Size(9, 9)), ([square, sliver], Size(7, 12)), ([], Size(9, 9))]
    outlines.append(([sliver], Size(9, 9)))
    assert polygons_to_rles(outlines) == [polygons_to_rle(*outline) for outline in outlines]
    assert polygons_to_rles([]) == []


def test_it_is_exact_on_real_sizes_and_on_blocks_of_columns() -> None:
    random = np.random.default_rng(0)
    masks = []
    for size in ((480, 640), (427, 640), (1, 1), (7, 3)):
        mask = np.zeros(size, dtype=np.bool_)
        for _ in range(5):
            y, x = random.integers(0, size[0]), random.integers(0, size[1])
            mask[y : y + 99, x : x + 150] = True
        mask[:, size[1] // 3 : size[1] // 2] = True  # runs that go on over many columns
        masks.append(mask)
    masks += [np.ones((48, 64), dtype=np.bool_), np.zeros((48, 64), dtype=np.bool_)]
    for shape in (GridShape(16, 16), GridShape(16, 64), GridShape(256, 7)):
        found = rles_to_coverage([mask_to_rle(mask) for mask in masks], shape)
        for mask, coverage in zip(masks, found, strict=True):
            assert np.array_equal(coverage, mask_to_coverage(mask, shape))


def test_a_huge_image_is_never_there() -> None:
    side = 16_000  # 256 million pixels
    runs = {"size": [side, side], "counts": [side * 4000, side * 8000, side * 4000]}
    (coverage,) = rles_to_coverage([runs], GridShape(1, 4))
    assert coverage.tolist() == [[0.0, 1.0, 1.0, 0.0]]


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools' own business
@given(
    st.lists(
        st.lists(st.floats(-5, 45, width=32), min_size=6, max_size=10).filter(
            lambda numbers: len(numbers) % 2 == 0
        ),
        min_size=1,
        max_size=2,
    ),
    SHAPES,
)
def test_polygons_are_what_pycocotools_draws(polygons: list[list[float]], shape: GridShape) -> None:
    drawn = coco.decode(coco.merge(coco.frPyObjects(polygons, 30, 40))).astype(np.bool_)
    assert np.array_equal(rle_to_mask(polygons_to_rle(polygons, Size(30, 40))), drawn)
    (coverage,) = polygons_to_coverage([(polygons, Size(30, 40))], shape)
    assert np.array_equal(coverage, mask_to_coverage(drawn, shape))


def test_no_polygon_is_an_empty_mask() -> None:
    assert not polygons_to_coverage([([], Size(30, 40))], GridShape(4, 4)).any()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("polygon", [[1.0] * 5, [1.0] * 4, [float("nan")] * 6, [float("inf")] * 6])
def test_bad_polygons_are_told(polygon: list[float]) -> None:
    with pytest.raises(InputError, match="polygon 0 is not a list"):
        polygons_to_coverage([([polygon], Size(30, 40))], GridShape(4, 4))


@given(st.lists(MASKS, max_size=5))
def test_many_run_lengths_are_read_as_one_by_one(masks: list[np.ndarray]) -> None:
    rles = [mask_to_rle(mask) for mask in masks]
    for found, rle in zip(rles_to_runs(rles), rles, strict=True):
        expected = rle_to_runs(rle)
        assert found.size == expected.size
        assert np.array_equal(found.starts, expected.starts)
        assert np.array_equal(found.ends, expected.ends)


GOOD = {"size": [2, 2], "counts": "04"}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"size": [2, 2], "counts": "0"}, id="too few pixels"),
        pytest.param({"size": [2, 2], "counts": ""}, id="nothing"),
        pytest.param({"size": [2, 2], "counts": "0T"}, id="cut within a number"),
        pytest.param({"size": [2, 2], "counts": "0é"}, id="a strange letter"),
        pytest.param({"size": [2], "counts": "04"}, id="half a size"),
        pytest.param({"counts": "04"}, id="no size"),
        pytest.param({"size": [0, 2], "counts": "0"}, id="a size of nothing"),
    ],
)
def test_one_bad_mask_among_good_ones_is_told(bad: dict) -> None:
    for rles in ([GOOD, bad, GOOD], [bad], [bad, GOOD], [GOOD, bad]):
        with pytest.raises(InputError):
            rles_to_runs(rles)


def test_lists_and_strings_mix() -> None:
    runs = rles_to_runs([GOOD, {"size": [2, 2], "counts": [1, 3]}])
    assert [mask.area for mask in runs] == [4, 3]
