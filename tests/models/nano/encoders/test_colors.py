"""Color words from pixels."""

from __future__ import annotations

import numpy as np
import pytest

from text4seg.models.nano.encoders.colors import (
    COLORS,
    NEIGHBOURS,
    clear_color,
    colors_of_cells,
    name_pixels,
    shares_of,
    wrong_colors,
)


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((10, 10, 12), "black"), ((250, 250, 250), "white"), ((128, 128, 130), "grey"),
        ((200, 20, 20), "red"), ((240, 130, 20), "orange"), ((240, 220, 40), "yellow"),
        ((40, 140, 50), "green"), ((30, 60, 180), "blue"), ((40, 50, 90), "blue"),
        ((120, 40, 170), "purple"), ((240, 130, 180), "pink"), ((100, 60, 30), "brown"),
        ((220, 200, 165), "beige"),
    ],
)  # fmt: skip
def test_a_color_has_its_word(rgb: tuple[int, int, int], word: str) -> None:
    pixels = np.full((2, 2, 3), rgb, dtype=np.uint8)
    assert {COLORS[i] for i in name_pixels(pixels).flat} == {word}


def test_every_color_of_all_has_a_word() -> None:
    steps = np.linspace(0, 255, 24).astype(np.uint8)
    pixels = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(24, -1, 3)
    names = name_pixels(np.ascontiguousarray(pixels))
    assert set(np.unique(names)) == set(range(len(COLORS)))


def test_cells_tell_shares() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, 16:] = (200, 20, 20)
    pixels[0, 0] = 255
    shares = colors_of_cells(pixels, 4)
    assert shares.shape == (4, 4, len(COLORS))
    assert np.allclose(shares.sum(-1), 1.0)
    assert shares[2, 3, COLORS.index("red")] == 1
    assert shares[0, 0, COLORS.index("white")] == pytest.approx(1 / 64)


def test_only_a_clear_color_is_one_and_only_a_far_one_is_wrong() -> None:
    names = np.zeros((10, 10), dtype=np.uint8)
    names[:7] = COLORS.index("red")
    whole = np.ones((10, 10), dtype=bool)
    shares = shares_of(names, whole)
    assert clear_color(shares) == "red"
    wrong = wrong_colors(shares)
    assert "green" in wrong
    assert not {"red", "black", *NEIGHBOURS["red"]} & set(wrong), "black is three tenths of it"
    names[5:] = COLORS.index("blue")
    assert clear_color(shares_of(names, whole)) is None
    assert wrong_colors(shares_of(names, whole)) == []
    assert not shares_of(names, ~whole).any()
    assert NEIGHBOURS.keys() == set(COLORS)
