from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from text4seg.core.errors import InputError, LabelError, MissingExtraError, UnknownNameError
from text4seg.core.geometry import (
    RULES,
    Rule,
    cells_to_mask,
    coverage_to_cells,
    mask_to_box,
    mask_to_coverage,
    mask_to_grid,
    masks_to_grid,
    polygons_to_mask,
    probability_to_mask,
    resize_probability,
)
from text4seg.core.types import Box, DescriptorGrid, GridShape, Size

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))
SHAPES = st.builds(GridShape, st.integers(1, 9), st.integers(1, 9))
CELLS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=6))


def slow_coverage(mask: np.ndarray, shape: GridShape) -> list[list[Fraction]]:
    """The share of every cell under the mask, pixel by pixel, in exact fractions."""

    def share(cell: int, cells: int, pixel: int, pixels: int) -> Fraction:
        low = max(Fraction(cell, cells), Fraction(pixel, pixels))
        high = min(Fraction(cell + 1, cells), Fraction(pixel + 1, pixels))
        return max(high - low, Fraction(0)) * cells

    height, width = mask.shape
    return [
        [
            sum(
                (
                    share(row, shape.rows, y, height) * share(col, shape.cols, x, width)
                    for y, x in zip(*np.nonzero(mask), strict=True)
                ),
                Fraction(0),
            )
            for col in range(shape.cols)
        ]
        for row in range(shape.rows)
    ]


class TestCoverage:
    @given(MASKS, SHAPES)
    def test_it_equals_the_slow_reference(self, mask: np.ndarray, shape: GridShape) -> None:
        expected = np.array(slow_coverage(mask, shape), dtype=np.float64).astype(np.float32)
        assert np.array_equal(mask_to_coverage(mask, shape), expected)

    @given(MASKS, SHAPES)
    def test_it_conserves_the_area(self, mask: np.ndarray, shape: GridShape) -> None:
        coverage = mask_to_coverage(mask, shape)
        assert coverage.mean(dtype=np.float64) == pytest.approx(mask.mean(), abs=1e-6)
        assert coverage.min() >= 0
        assert coverage.max() <= 1

    @given(MASKS, SHAPES)
    def test_a_mask_and_its_rest_fill_every_cell(self, mask: np.ndarray, shape: GridShape) -> None:
        both = mask_to_coverage(mask, shape) + mask_to_coverage(~mask, shape)
        assert np.allclose(both, 1, atol=1e-6)

    @given(MASKS, SHAPES)
    def test_it_turns_with_the_image(self, mask: np.ndarray, shape: GridShape) -> None:
        coverage = mask_to_coverage(mask, shape)
        turned = GridShape(shape.cols, shape.rows)
        assert np.array_equal(mask_to_coverage(mask.T, turned), coverage.T)
        assert np.array_equal(mask_to_coverage(mask[::-1, ::-1], shape), coverage[::-1, ::-1])

    def test_it_stretches_and_never_pads(self) -> None:
        mask = np.zeros((2, 3), dtype=np.bool_)
        mask[:, 0] = True
        expected = [[np.float32(2 / 3), 0.0], [np.float32(2 / 3), 0.0]]
        assert mask_to_coverage(mask, GridShape(2, 2)).tolist() == expected

    def test_it_is_exact_on_a_large_image(self) -> None:
        mask = np.zeros((3000, 4001), dtype=np.bool_)
        mask[:, :2000] = True
        coverage = mask_to_coverage(mask, GridShape(7, 2))
        assert coverage[:, 0].tolist() == [np.float32(4000 / 4001)] * 7
        assert coverage[:, 1].tolist() == [0.0] * 7

    def test_it_refuses_an_empty_array(self) -> None:
        with pytest.raises(InputError, match="height x width"):
            mask_to_coverage(np.zeros((0, 3), dtype=np.bool_), GridShape(2, 2))


class TestCells:
    def test_half_a_cell_is_enough(self) -> None:
        coverage = np.array([[0.49, 0.5, 0.51, 1.0]])
        assert coverage_to_cells(coverage).tolist() == [[False, True, True, True]]
        assert coverage_to_cells(coverage, threshold=0.51).tolist() == [[False, False, True, True]]

    def test_a_small_thing_keeps_its_best_cells(self) -> None:
        coverage = np.array([[0.1, 0.3], [0.3, 0.0]])
        assert coverage_to_cells(coverage).tolist() == [[False, True], [True, False]]
        assert not coverage_to_cells(coverage, keep_nonempty=False).any()
        assert not coverage_to_cells(np.zeros((2, 2))).any()

    def test_it_refuses(self) -> None:
        coverage = np.zeros((1, 1))
        with pytest.raises(UnknownNameError, match="coverage"):
            coverage_to_cells(coverage, "center")
        for threshold in (0.0, -1.0, 1.5, float("nan")):
            with pytest.raises(InputError, match="threshold"):
                coverage_to_cells(coverage, threshold=threshold)

    @given(MASKS, SHAPES)
    def test_a_mask_is_never_lost(self, mask: np.ndarray, shape: GridShape) -> None:
        grid = mask_to_grid(mask, "dog", shape)
        assert grid.is_empty == (not mask.any())
        assert grid.shape == shape

    @pytest.mark.parametrize("y", range(12))
    @pytest.mark.parametrize("x", range(12))
    def test_one_pixel_is_kept_in_its_cell(self, y: int, x: int) -> None:
        mask = np.zeros((12, 12), dtype=np.bool_)
        mask[y, x] = True
        cells = mask_to_grid(mask, "dog", GridShape(3, 4)).select("dog")
        assert list(zip(*np.nonzero(cells), strict=True)) == [(y // 4, x // 3)]

    @given(MASKS, SHAPES)
    def test_center_is_the_nearest_cell_center(self, mask: np.ndarray, shape: GridShape) -> None:
        height, width = mask.shape
        expected = [
            [
                mask[
                    int(Fraction(2 * row + 1, 2 * shape.rows) * height),
                    int(Fraction(2 * col + 1, 2 * shape.cols) * width),
                ]
                for col in range(shape.cols)
            ]
            for row in range(shape.rows)
        ]
        cells = mask_to_grid(mask, "dog", shape, rule="center").select("dog")
        assert cells.tolist() == expected

    def test_center_loses_what_coverage_keeps(self) -> None:
        mask = np.zeros((8, 8), dtype=np.bool_)
        mask[0, 0] = True
        assert mask_to_grid(mask, "dog", GridShape(2, 2), rule="center").is_empty
        assert not mask_to_grid(mask, "dog", GridShape(2, 2)).is_empty

    @pytest.mark.usefixtures("unchecked")
    def test_bad_labels_and_rules(self) -> None:
        mask = np.zeros((2, 2), dtype=np.bool_)
        with pytest.raises(LabelError):
            mask_to_grid(mask, "others", GridShape(1, 1))
        with pytest.raises(UnknownNameError, match="center"):
            mask_to_grid(mask, "dog", GridShape(1, 1), rule="centre")  # type: ignore[arg-type]


class TestSeveralMasks:
    @given(MASKS, SHAPES, st.sampled_from(RULES))
    def test_one_mask_is_the_same_as_alone(
        self, mask: np.ndarray, shape: GridShape, rule: Rule
    ) -> None:
        grid = masks_to_grid({"dog": mask}, shape, rule=rule)
        assert grid == mask_to_grid(mask, "dog", shape, rule)

    def test_iou_keeps_what_thin_things_fit_best(self) -> None:
        rope = np.zeros((20, 40), dtype=np.bool_)
        rope[:4] = rope[4, 10:20] = True  # .4 of its cells, half of the second
        dog = np.zeros_like(rope)
        dog[5:10, :10] = True  # half of the first
        masks, shape = {"rope": rope, "dog": dog}, GridShape(2, 4)
        by = {rule: masks_to_grid(masks, shape, rule=rule).rows_of_labels()[0] for rule in RULES}
        assert by["coverage"] == ["dog", "rope", "others", "others"]
        assert by["iou"] == ["dog", "rope", "rope", "rope"]
        assert by["center"] == ["dog", "others", "others", "others"]

    @pytest.mark.usefixtures("unchecked")
    def test_an_unknown_rule_for_several(self) -> None:
        with pytest.raises(UnknownNameError, match="iou"):
            masks_to_grid({}, GridShape(1, 1), rule="half")  # type: ignore[arg-type]

    @given(MASKS, SHAPES)
    def test_a_partition_is_the_argmax(self, mask: np.ndarray, shape: GridShape) -> None:
        grid = masks_to_grid({"dog": mask, "cat": ~mask}, shape)
        assert np.array_equal(grid.select("cat"), ~grid.select("dog"))
        most = mask_to_coverage(mask, shape) >= mask_to_coverage(~mask, shape)
        if most.any() and not most.all():  # else one of them had no cell and was given some
            assert np.array_equal(grid.select("dog"), most)

    def test_background_competes_with_its_share(self) -> None:
        dog = np.zeros((1, 10), dtype=np.bool_)
        cat = dog.copy()
        dog[0, :4] = True
        cat[0, 4:7] = True
        words = masks_to_grid({"cat": cat, "dog": dog}, GridShape(1, 1)).rows_of_labels()
        assert words == [["dog"]]  # .4 dog, .3 cat, .3 background

    def test_ties_go_to_the_first_label(self) -> None:
        left = np.array([[1, 1, 0, 0]], dtype=np.bool_)
        for masks in ({"a": left, "b": ~left}, {"b": ~left, "a": left}):
            grid = masks_to_grid(masks, GridShape(1, 1))
            assert grid.rows_of_labels() == [[next(iter(masks))]]

    @pytest.mark.usefixtures("unchecked")
    def test_overlaps(self) -> None:
        dog = np.ones((1, 4), dtype=np.bool_)
        tail = np.array([[0, 0, 0, 1]], dtype=np.bool_)
        shape = GridShape(1, 4)
        masks = {"dog": dog, "tail": tail}
        assert masks_to_grid(masks, shape).rows_of_labels() == [["dog", "dog", "dog", "tail"]]
        first = masks_to_grid(masks, shape, overlap="first")
        assert first.rows_of_labels() == [["dog"] * 4]
        with pytest.raises(InputError, match="overlaps"):
            masks_to_grid(masks, shape, overlap="error")
        with pytest.raises(UnknownNameError, match="smallest"):
            masks_to_grid(masks, shape, overlap="largest")  # type: ignore[arg-type]

    def test_small_masks_keep_a_cell_but_take_nobodys_last(self) -> None:
        dog = np.zeros((2, 8), dtype=np.bool_)
        dog[:, :5] = True
        bird, fly = np.zeros_like(dog), np.zeros_like(dog)
        bird[0, 6], fly[1, 6] = True, True
        masks = {"dog": dog, "bird": bird, "fly": fly}
        words = masks_to_grid(masks, GridShape(1, 2)).rows_of_labels()
        assert words == [["dog", "bird"]]  # the fly has no cell but the bird's, its last
        assert masks_to_grid(masks, GridShape(2, 2)).rows_of_labels() == [
            ["dog", "bird"],
            ["dog", "fly"],
        ]

    def test_none_and_different_sizes(self) -> None:
        assert masks_to_grid({}, GridShape(2, 2)).is_empty
        with pytest.raises(InputError, match="one size"):
            masks_to_grid(
                {"a": np.zeros((2, 2), dtype=np.bool_), "b": np.zeros((2, 3), dtype=np.bool_)},
                GridShape(1, 1),
            )
        with pytest.raises(LabelError):
            masks_to_grid({"a|b": np.zeros((2, 2), dtype=np.bool_)}, GridShape(1, 1))


class TestBackToPixels:
    @given(CELLS, st.integers(1, 20), st.integers(1, 20))
    def test_a_pixel_takes_the_cell_of_its_center(
        self, cells: np.ndarray, height: int, width: int
    ) -> None:
        rows, cols = cells.shape
        expected = [
            [
                cells[
                    int(Fraction(2 * y + 1, 2 * height) * rows),
                    int(Fraction(2 * x + 1, 2 * width) * cols),
                ]
                for x in range(width)
            ]
            for y in range(height)
        ]
        assert cells_to_mask(cells, Size(height, width)).tolist() == expected

    @given(CELLS, st.integers(1, 4), st.integers(1, 4))
    def test_whole_cells_come_back(self, cells: np.ndarray, down: int, across: int) -> None:
        rows, cols = cells.shape
        mask = cells_to_mask(cells, Size(rows * down, cols * across))
        coverage = mask_to_coverage(mask, GridShape(rows, cols))
        assert np.array_equal(coverage, cells.astype(np.float32))
        grid = DescriptorGrid.build(["others", "dog"], cells.astype(np.int32))
        assert mask_to_grid(mask, "dog", GridShape(rows, cols)) == grid
        assert mask_to_grid(mask, "dog", GridShape(rows, cols), rule="center") == grid

    @given(CELLS, st.integers(0, 9), st.integers(0, 9))
    def test_cells_come_back_through_the_center_rule_at_any_larger_size(
        self, cells: np.ndarray, more: int, wider: int
    ) -> None:
        rows, cols = cells.shape
        mask = cells_to_mask(cells, Size(rows + more, cols + wider))
        again = mask_to_grid(mask, "dog", GridShape(rows, cols), rule="center")
        assert np.array_equal(again.select("dog"), cells)

    @given(CELLS, st.integers(1, 12), st.integers(1, 12))
    def test_nearest_probability_is_cells_to_mask(
        self, cells: np.ndarray, height: int, width: int
    ) -> None:
        size = Size(height, width)
        mask = probability_to_mask(cells.astype(np.float32), size)
        assert np.array_equal(mask, cells_to_mask(cells, size))

    @pytest.mark.parametrize("how", ["bilinear", "bicubic"])
    def test_interpolation_keeps_constants_and_range(self, how: str) -> None:
        flat = resize_probability(np.full((3, 4), 0.3, np.float32), Size(17, 5), how)  # type: ignore[arg-type]
        assert np.allclose(flat, 0.3)
        cells = np.random.default_rng(0).random((4, 4)).round()
        wavy = resize_probability(cells, Size(40, 40), how)  # type: ignore[arg-type]
        assert wavy.min() >= 0
        assert wavy.max() <= 1

    def test_bilinear_by_hand(self) -> None:
        # Cell centers lie at 1 and 3 of 4 pixels, pixel centers at .5, 1.5, 2.5 and 3.5.
        line = resize_probability(np.array([[0.0, 1.0]]), Size(1, 4), "bilinear")
        assert line.tolist() == [[0.0, 0.25, 0.75, 1.0]]

    def test_bicubic_by_hand(self) -> None:
        # Keys' kernel with a = -1/2 at distances 1.25, .25, .75 and 1.75.
        weights = [-0.0703125, 0.8671875, 0.2265625, -0.0234375]
        line = resize_probability(np.array([[0.2, 0.4, 0.6, 0.4]]), Size(1, 8), "bicubic")
        expected = np.dot(weights, [0.2, 0.4, 0.6, 0.4])
        assert line[0, 3] == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("how", ["nearest", "bilinear", "bicubic"])
    def test_same_size_is_the_same(self, how: str) -> None:
        values = np.random.default_rng(1).random((5, 6)).astype(np.float32)
        assert np.allclose(resize_probability(values, Size(5, 6), how), values)  # type: ignore[arg-type]

    def test_the_threshold_belongs_to_the_mask(self) -> None:
        values = np.array([[0.4, 0.5]])
        assert probability_to_mask(values, Size(1, 2)).tolist() == [[False, True]]
        low = probability_to_mask(values, Size(1, 2), threshold=0.4)
        assert low.tolist() == [[True, True]]

    @pytest.mark.usefixtures("unchecked")
    def test_unknown_interpolation(self) -> None:
        with pytest.raises(UnknownNameError, match="bicubic"):
            resize_probability(np.zeros((1, 1)), Size(1, 1), "cubic")  # type: ignore[arg-type]


class TestBoxesAndPolygons:
    def test_box(self) -> None:
        mask = np.zeros((5, 7), dtype=np.bool_)
        assert mask_to_box(mask) is None
        mask[1:3, 2] = True
        mask[4, 5] = True
        assert mask_to_box(mask) == Box(2, 1, 6, 5)

    def test_polygons_are_joined(self) -> None:
        square = [1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]
        other = [6.0, 0.0, 8.0, 0.0, 8.0, 2.0, 6.0, 2.0]
        mask = polygons_to_mask([square, other], Size(5, 9))
        expected = np.zeros((5, 9), dtype=np.bool_)
        expected[1:3, 1:4] = True
        expected[0:2, 6:8] = True
        assert np.array_equal(mask, expected)
        assert not polygons_to_mask([], Size(2, 2)).any()

    @pytest.mark.parametrize("polygon", [[], [1.0, 2.0], [1.0] * 7, [float("nan")] * 6])
    def test_no_polygon(self, polygon: list[float]) -> None:
        with pytest.raises(InputError, match="polygon 0"):
            polygons_to_mask([polygon], Size(4, 4))

    def test_without_pycocotools(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pycocotools", None)
        with pytest.raises(MissingExtraError, match=r"text4seg\[data\]"):
            polygons_to_mask([], Size(2, 2))
