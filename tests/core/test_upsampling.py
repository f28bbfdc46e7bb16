"""Runs followed from row to row; the other ways back to pixels are tested with the geometry."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from text4seg.core.types import Size
from text4seg.core.upsampling import cells_to_mask, scanline_mask, scanline_probability

CELLS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=6))


def slow_scanline(cells: np.ndarray, size: Size) -> list[list[bool]]:
    """Every pixel on its own, in exact fractions."""
    rows, cols = cells.shape
    reach = max(Fraction(cols, 2 * rows), Fraction(1, 2))

    def along(row: int, x: Fraction) -> Fraction:
        """The distance to the nearest end of a run in the middle of a row, cut off."""
        ends = [c for c in range(1, cols) if cells[row, c] != cells[row, c - 1]]
        distance = min([abs(x - end) for end in ends] + [reach])
        return distance if cells[row, int(x)] else -distance

    def value(y: int, x: int) -> Fraction:
        at = Fraction(2 * y + 1, 2 * size.height) * rows - Fraction(1, 2)
        above = at.numerator // at.denominator
        share = at - above
        column = Fraction(2 * x + 1, 2 * size.width) * cols
        first, second = (min(max(row, 0), rows - 1) for row in (above, above + 1))
        return (1 - share) * along(first, column) + share * along(second, column)

    return [[value(y, x) >= 0 for x in range(size.width)] for y in range(size.height)]


@given(CELLS, st.integers(1, 16), st.integers(1, 16))
def test_it_equals_the_slow_reference(cells: np.ndarray, height: int, width: int) -> None:
    size = Size(height, width)
    found, expected = scanline_mask(cells, size), np.array(slow_scanline(cells, size))
    near = np.abs(scanline_probability(cells, size) - 0.5) < 1e-6  # rounding decides ties
    assert np.array_equal(found[~near], expected[~near])


def test_ends_move_straight_between_the_middles_of_rows() -> None:
    # Eight columns, two rows of 100 pixels: the runs end at 8 of 32 columns above, at 12 below.
    cells = np.zeros((2, 32), dtype=np.bool_)
    cells[0, :8] = True
    cells[1, :12] = True
    widths = scanline_mask(cells, Size(200, 3200)).sum(axis=1)
    assert widths[:50].tolist() == [800] * 50
    assert widths[150:].tolist() == [1200] * 50
    assert np.abs(np.diff(widths[50:150]) - 4).max() <= 1


def test_a_run_without_partner_tapers_off() -> None:
    cells = np.zeros((3, 24), dtype=np.bool_)
    cells[1, 10:14] = True
    widths = scanline_mask(cells, Size(300, 2400)).sum(axis=1)
    assert widths[:100].max() < widths[125] < widths[149] <= 400
    assert np.array_equal(widths, widths[::-1])


@given(CELLS)
def test_the_middle_of_a_row_is_the_row(cells: np.ndarray) -> None:
    rows, cols = cells.shape
    size = Size(3 * rows, 4 * cols)  # pixel 1 of each three has its center in the middle of a row
    assert np.array_equal(scanline_mask(cells, size)[1::3], cells_to_mask(cells, size)[1::3])


@pytest.mark.parametrize("value", [False, True])
def test_the_edge_of_the_image_ends_no_run(value: bool) -> None:
    cells = np.full((3, 5), value)
    assert (scanline_probability(cells, Size(20, 30)) == float(value)).all()
