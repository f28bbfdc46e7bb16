from __future__ import annotations

import numpy as np

from tests.refine.conftest import IMAGE, SIZE, cells
from text4seg.core.types import Size
from text4seg.refine.none import SMALLER_THAN_GRID, none


def test_none_is_blocks() -> None:
    mask = none(IMAGE, cells(0.0, 0.5), SIZE).mask
    assert mask.sum() == (48 // 8 * 4) * (64 // 8 * 4)


def test_an_image_smaller_than_the_grid_marks_the_nearest_pixels_and_notes_it() -> None:
    refined = none(IMAGE, cells(0.0, 1.0), Size(1, 1))
    assert refined.mask.tolist() == [[True]]
    lone = np.zeros((8, 8), dtype=np.float32)
    lone[1, 1] = 1
    refined = none(IMAGE, lone, Size(2, 2))
    assert refined.notes == (SMALLER_THAN_GRID,)
    assert refined.mask.tolist() == [[True, False], [False, False]]
