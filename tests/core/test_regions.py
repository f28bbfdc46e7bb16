from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text4seg.core.errors import InputError
from text4seg.core.geometry import cells_to_mask
from text4seg.core.regions import LatticeBox, Regions, mask_to_region, masks_to_regions
from text4seg.core.types import GridShape, Size


@given(
    top=st.integers(0, 90), left=st.integers(0, 90), height=st.integers(1, 10),
    width=st.integers(1, 10), scale=st.integers(1, 3),
)  # fmt: skip
def test_a_rectangle_on_the_lattice_is_its_box(top, left, height, width, scale) -> None:
    mask = np.zeros((100 * scale, 100 * scale), dtype=bool)
    mask[top * scale : (top + height) * scale, left * scale : (left + width) * scale] = True
    region = mask_to_region(mask, "x", GridShape(3, 2))
    assert region is not None
    assert region.box == LatticeBox(left, left + width - 1, top, top + height - 1)
    assert np.array_equal(region.mask(Size(*mask.shape)), mask)


def test_a_box_of_the_whole_image_is_the_grid_over_it() -> None:
    cells = np.random.default_rng(0).random((4, 5)) < 0.5
    cells[0, 0] = cells[-1, -1] = True
    mask = cells_to_mask(cells, Size(40, 50))
    region = mask_to_region(mask, "x", GridShape(4, 5))
    assert region is not None
    assert np.array_equal(region.grid.select("x"), cells)


def test_later_regions_lie_on_top_and_survive_json() -> None:
    large, small = np.ones((20, 20), dtype=bool), np.zeros((20, 20), dtype=bool)
    small[5:10, 5:10] = True
    regions = masks_to_regions([("a", large), ("b", small), ("c", ~large)], GridShape(2, 2))
    assert regions.labels == ("others", "a", "b")
    assert np.array_equal(regions.mask("b", Size(20, 20)), small)
    assert np.array_equal(regions.mask("a", Size(20, 20)), ~small)
    assert not regions.mask("c", Size(20, 20)).any()
    assert Regions.from_record(regions.to_record()) == regions
    assert Regions().is_empty


@pytest.mark.parametrize("record", [{}, [{}], [{"box": [1, 2, 3]}], [{"box": [1, 2, 3, True]}]])
def test_other_json_is_refused(record: object) -> None:
    with pytest.raises(InputError, match="regions in JSON"):
        Regions.from_record(record)


def test_boxes_are_in_order_and_grids_of_one_shape() -> None:
    with pytest.raises(InputError, match="each pair in order"):
        LatticeBox(5, 4, 0, 0)
    one = mask_to_region(np.ones((4, 4), dtype=bool), "a", GridShape(2, 2))
    other = mask_to_region(np.ones((4, 4), dtype=bool), "a", GridShape(3, 3))
    assert one is not None
    assert other is not None
    with pytest.raises(InputError, match="one shape"):
        Regions((one, other))
