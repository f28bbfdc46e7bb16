from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from text4seg.core.errors import UnknownNameError
from text4seg.core.geometry import probability_to_mask
from text4seg.core.types import Size
from text4seg.refine import get_refiner, none, smooth

IMAGE = Image.new("RGB", (64, 48))
IMAGE.paste((200, 180, 20), (16, 12, 48, 36))  # where the cells of `cells` lie
SIZE = Size(48, 64)
WITHOUT_WEIGHTS = ("none", "smooth", "crf")


def cells(value: float, inside: float) -> np.ndarray:
    probability = np.full((8, 8), value, dtype=np.float32)
    probability[2:6, 2:6] = inside
    return probability


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_refiner_makes_a_mask_of_the_images_size(name: str) -> None:
    refined = get_refiner(name)(IMAGE, cells(0.1, 0.9), SIZE)
    assert (refined.mask.shape, refined.mask.dtype) == ((48, 64), np.bool_)
    assert refined.mask[24, 32]
    assert not refined.mask[0, 0]
    assert refined.notes == ()


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_nothing_stays_nothing(name: str) -> None:
    assert not get_refiner(name)(IMAGE, cells(0.1, 0.49), SIZE).mask.any()


def test_none_is_blocks() -> None:
    mask = none(IMAGE, cells(0.0, 0.5), SIZE).mask
    assert mask.sum() == (48 // 8 * 4) * (64 // 8 * 4)


def test_smooth_covers_each_cell_as_its_probability_says() -> None:
    mask = smooth(IMAGE, cells(0.0, 0.7), SIZE).mask
    border = 12 * 48 * 0.7 + 4 * 48  # the four cells within are surely in
    assert mask.sum() == pytest.approx(border, rel=0.03)
    unsure, sure = (smooth(IMAGE, cells(*p), SIZE).mask.sum() for p in ((0.1, 0.55), (0.4, 1.0)))
    assert unsure < none(IMAGE, cells(0.4, 1.0), SIZE).mask.sum() < sure


def test_a_doubt_far_from_the_outline_makes_no_island() -> None:
    probability = cells(0.0, 0.9)
    probability[0, 7] = 0.45
    assert not smooth(IMAGE, probability, SIZE).mask[:6, 56:].any()


def test_smooth_of_a_plain_yes_or_no_is_bicubic() -> None:
    expected = probability_to_mask(cells(0.0, 1.0), SIZE, "bicubic")
    assert np.array_equal(smooth(IMAGE, cells(0.0, 1.0), SIZE).mask, expected)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
@pytest.mark.parametrize("size", [Size(5, 5), Size(1, 1), Size(3, 900)])
def test_a_image_smaller_than_the_grid_keeps_what_was_found(name: str, size: Size) -> None:
    for row in range(8):
        probability = np.zeros((8, 8), dtype=np.float32)
        probability[row, 3] = 0.5
        refined = get_refiner(name)(IMAGE, probability, size)
        assert refined.mask.any()


def test_an_unknown_refiner_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="none, smooth, crf"):
        get_refiner("crf2")
