from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from text4seg.core.errors import InputError
from text4seg.core.geometry import cells_to_mask, mask_to_box
from text4seg.core.run_lengths import (
    _decompress_at_once,
    _decompress_bytewise,
    cells_to_runs,
    mask_to_rle,
    rle_area,
    rle_to_box,
    rle_to_mask,
    rle_to_runs,
)
from text4seg.core.types import Size

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40))


def coco_encode(mask: np.ndarray) -> dict[str, Any]:
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


@given(MASKS)
def test_it_is_pycocotools_byte_for_byte(mask: np.ndarray) -> None:
    assert mask_to_rle(mask) == coco_encode(mask)


@pytest.mark.parametrize("fill", [0.0, 0.001, 0.5, 1.0])
def test_it_is_pycocotools_on_large_masks(fill: float) -> None:
    mask = np.random.default_rng(0).random((700, 900)) < fill  # runs of several groups
    assert mask_to_rle(mask) == coco_encode(mask)
    assert np.array_equal(rle_to_mask(mask_to_rle(mask)), mask)


@given(MASKS)
def test_it_reads_what_it_and_pycocotools_write(mask: np.ndarray) -> None:
    rle = mask_to_rle(mask)
    assert np.array_equal(rle_to_mask(rle), mask)
    assert np.array_equal(rle_to_mask({**rle, "counts": rle["counts"].encode()}), mask)
    assert rle_to_mask(rle).flags.c_contiguous
    assert rle_area(rle) == mask.sum()
    assert rle_to_box(rle) == mask_to_box(mask)


def test_counts_go_down_the_columns() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=np.bool_)
    plain = {"size": [2, 3], "counts": [2, 3, 1]}
    assert np.array_equal(rle_to_mask(plain), mask)
    assert rle_area(plain) == 3
    assert mask_to_rle(mask)["counts"] == "231"


def test_counts_of_zero_are_allowed() -> None:
    plain = {"size": [1, 4], "counts": [0, 1, 0, 2, 1]}
    assert rle_to_mask(plain).tolist() == [[True, True, True, False]]
    box = rle_to_box({"size": [1, 4], "counts": [2, 0, 2]})
    assert box is None


@pytest.mark.parametrize(
    ("rle", "reason"),
    [
        ({}, "counts"),
        ({"size": [2, 2]}, "counts"),
        ({"size": [2], "counts": [4]}, "counts"),
        ({"size": 4, "counts": [4]}, "counts"),
        ({"size": [2, "2"], "counts": [4]}, "two integers"),
        ({"size": [2, True], "counts": [2]}, "two integers"),
        ({"size": [0, 2], "counts": []}, "at least one pixel"),
        ({"size": [2, 2], "counts": [3]}, "sum to 3"),
        ({"size": [2, 2], "counts": [5]}, "sum to 5"),
        ({"size": [2, 2], "counts": [-1, 5]}, "count 0"),
        ({"size": [2, 2], "counts": [1, 2.0, 1]}, "count 1"),
        ({"size": [2, 2], "counts": [1 << 40]}, "count 0"),
        ({"size": [2, 2], "counts": None}, "NoneType"),
        ({"size": [1 << 15, 1 << 15], "counts": [1 << 30]}, "larger than"),  # a bomb
        ({"size": [2, 2], "counts": "4 "}, "alphabet"),
        ({"size": [2, 2], "counts": "é"}, "alphabet"),
        ({"size": [2, 2], "counts": "T"}, "middle of a number"),
        ({"size": [2, 2], "counts": "o" * 9 + "1"}, "too large"),
        ({"size": [2, 2], "counts": "O"}, "not a pixel count"),  # -1
        ({"size": [2, 2], "counts": ""}, "sum to 0"),
    ],
)
def test_it_refuses(rle: dict[str, Any], reason: str) -> None:
    for read in (rle_to_mask, rle_area, rle_to_box):
        with pytest.raises(InputError, match=reason):
            read(rle)


@given(st.binary(max_size=12) | st.text(max_size=12), st.integers(1, 9), st.integers(1, 9))
def test_it_reads_or_refuses_any_counts(counts: bytes | str, height: int, width: int) -> None:
    try:
        mask = rle_to_mask({"size": [height, width], "counts": counts})
    except InputError:
        return
    assert mask.shape == (height, width)


def test_a_mask_is_two_dimensional() -> None:
    with pytest.raises(InputError, match="height x width"):
        mask_to_rle(np.zeros((0, 4), dtype=np.bool_))


@given(st.data())
def test_runs_overlap_as_pixels_do(data: st.DataObject) -> None:
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=30))
    first, second = (data.draw(arrays(np.bool_, shape)) for _ in range(2))
    ours, theirs = (rle_to_runs(mask_to_rle(mask)) for mask in (first, second))
    assert ours.overlap(theirs) == theirs.overlap(ours) == (first & second).sum()
    assert (ours.area, ours.box) == (first.sum(), mask_to_box(first))


def test_runs_of_masks_of_different_sizes_are_refused() -> None:
    first, second = (rle_to_runs({"size": size, "counts": [6]}) for size in ([2, 3], [3, 2]))
    with pytest.raises(InputError, match="2x3 and 3x2"):
        first.overlap(second)


@given(
    arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_cells_become_the_runs_of_their_pixels(cells: np.ndarray, height: int, width: int) -> None:
    size = Size(height, width)
    runs, pixels = cells_to_runs(cells, size), cells_to_mask(cells, size)
    plain = rle_to_runs(mask_to_rle(pixels))
    assert (runs.size, runs.area, runs.box) == (size, plain.area, plain.box)
    assert runs.overlap(plain) == plain.area


@given(st.binary(max_size=40))
def test_counts_read_at_once_are_those_read_byte_by_byte(data: bytes) -> None:
    text = bytes(48 + byte % 64 for byte in data)
    at_once = _decompress_at_once(text)
    try:
        bytewise = _decompress_bytewise(text)
    except InputError:
        assert at_once is None, "what is wrong is left to the reader that can tell where"
    else:
        assert not text or np.array_equal(at_once, bytewise)
