"""Strings of run lengths, many at once: what pycocotools says of each, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from text4seg.core.packed import packed_edges, packed_numbers

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))


@given(st.lists(MASKS, min_size=1, max_size=5))
def test_the_runs_of_each_mask(masks: list[np.ndarray]) -> None:
    parts = [coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"] for mask in masks]
    found = packed_edges(parts, np.array([mask.size for mask in masks]))
    assert found is not None
    edges, begin = found
    for mask, runs in zip(masks, np.split(edges, begin[1:]), strict=True):
        flat = np.zeros(mask.size, dtype=np.bool_)
        for start, end in runs.tolist():
            flat[start:end] = True
        assert np.array_equal(flat.reshape(mask.shape, order="F"), mask)


@given(st.lists(st.integers(-(2**30), 2**30), min_size=1))
def test_numbers_of_any_length(numbers: list[int]) -> None:
    found = packed_numbers(b"".join(map(packed, numbers)))
    assert found is not None
    assert found[0].tolist() == numbers


def packed(number: int) -> bytes:
    """Groups of five bits as COCO's own C code writes them."""
    out, more = bytearray(), True
    while more:
        group, number = number & 0x1F, number >> 5
        more = number != -1 if group & 0x10 else number != 0
        out.append(48 + (group | 0x20 if more else group))
    return bytes(out)


@pytest.mark.parametrize(
    ("parts", "pixels"),
    [
        pytest.param([b""], [1], id="nothing"),
        pytest.param([b"1", b""], [1, 1], id="one without a number"),
        pytest.param([b"Q", b"1"], [1, 1], id="a number that goes on into the next mask"),
        pytest.param([b"\x00"], [1], id="no letter of the alphabet"),
        pytest.param([b"PPPPPPPP1"], [1], id="a number of too many groups"),
        pytest.param([b"2"], [1], id="counts of another size"),
        pytest.param([b"3O"], [2], id="a count below zero"),
    ],
)
def test_what_is_wrong_is_left_to_the_slow_reader(parts: list[bytes], pixels: list[int]) -> None:
    assert packed_edges(parts, np.array(pixels)) is None
