"""Color words from pixels: the share of red, blue, black … in each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

COLORS = (
    "black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink",
    "brown", "beige",
)  # fmt: skip
"""The eleven basic color terms of English (Berlin and Kay, 1969), and beige: clothes need it."""

OTHER_WORDS = {
    "gray": "grey", "silver": "grey", "violet": "purple", "tan": "beige", "cream": "beige",
    "navy": "blue", "golden": "yellow", "scarlet": "red", "crimson": "red", "khaki": "beige",
}  # fmt: skip

# Colors that others may call a color by: never used as wrong colors in training questions.
NEIGHBOURS = {
    "black": ("grey", "blue", "brown", "purple"),
    "white": ("grey", "beige", "pink"),
    "grey": ("black", "white", "blue", "beige", "brown"),
    "red": ("pink", "orange", "brown", "purple"),
    "orange": ("red", "yellow", "brown", "beige", "pink"),
    "yellow": ("orange", "beige", "green", "brown"),
    "green": ("yellow", "blue", "grey", "black"),
    "blue": ("purple", "grey", "black", "green"),
    "purple": ("blue", "pink", "red", "black"),
    "pink": ("red", "purple", "beige", "white", "orange"),
    "brown": ("black", "orange", "beige", "red", "grey"),
    "beige": ("white", "brown", "yellow", "orange", "pink", "grey"),
}

# Upper bounds of the hues of saturated colors, in degrees; red lies around zero.
_HUES = ((14, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (255, "blue"),
         (300, "purple"), (342, "pink"), (361, "red"))  # fmt: skip


def name_pixels(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Name the color of every pixel, by rules on hue, saturation and value.

    Args:
        pixels: RGB.

    Returns:
        Indices of `COLORS`.
    """
    from PIL import Image

    hsv = np.asarray(Image.fromarray(pixels).convert("HSV"), dtype=np.float32)
    hue, saturation, value = hsv[..., 0] * (360 / 255), hsv[..., 1] / 255, hsv[..., 2] / 255
    names = np.zeros(hue.shape, dtype=np.uint8)
    bounds = np.array([bound for bound, _ in _HUES])
    of_hue = np.array([COLORS.index(name) for _, name in _HUES], dtype=np.uint8)
    names[:] = of_hue[np.searchsorted(bounds, hue, side="right").clip(max=len(_HUES) - 1)]
    red = (hue < _HUES[0][0]) | (hue >= _HUES[-2][0])
    warm = (hue >= 10) & (hue < 50)
    # Later rules override earlier ones: a dark red is brown, unless it is nearly black.
    rules = (
        ("pink", red & (saturation < 0.5) & (value > 0.65)),
        ("brown", (warm | red & (saturation < 0.6)) & (value <= 0.6)),
        ("beige", warm & (saturation < 0.42) & (value > 0.6)),
        ("grey", (saturation < 0.16) | ((saturation < 0.24) & (value < 0.45))),
        ("white", (saturation < 0.13) & (value > 0.78)),
        ("black", (value < 0.2) | ((saturation < 0.3) & (value < 0.26))),
    )
    for name, where in rules:
        names[where] = COLORS.index(name)
    return names


def colors_of_cells(
    pixels: UInt8[np.ndarray, "h w 3"], cells: int
) -> Float32[np.ndarray, "cells cells 12"]:
    """Share of each color in each of cells × cells equal parts.

    Args:
        pixels: RGB; its sides are multiples of `cells`.
        cells: Parts along each side.

    Returns:
        Shares in the order of `COLORS`, 0 to 1.
    """
    names = name_pixels(pixels)
    height, width = (side // cells for side in names.shape)
    parts = names.reshape(cells, height, cells, width)
    shares = [(parts == index).mean(axis=(1, 3)) for index in range(len(COLORS))]
    return np.stack(shares, axis=-1).astype(np.float32)


def shares_of(names: UInt8[np.ndarray, "h w"], mask: np.ndarray) -> Float32[np.ndarray, " 12"]:
    """Share of each color in a mask, 0 to 1, given `name_pixels` of the image."""
    counts = np.bincount(names[mask], minlength=len(COLORS)).astype(np.float32)
    return counts / max(float(counts.sum()), 1.0)


def clear_color(shares: Float32[np.ndarray, " 12"]) -> str | None:
    """The color over half of a thing is of, and twice as much as of any other, if there is one."""
    second, first = np.sort(shares)[-2:]
    # A doubtful color is no color: training must neither ask for it nor call it wrong.
    if first < 0.5 or second > first / 2:
        return None
    return COLORS[int(shares.argmax())]


def wrong_colors(shares: Float32[np.ndarray, " 12"]) -> list[str]:
    """Colors that nobody would call a thing of these shares by; empty without a clear color."""
    clear = clear_color(shares)
    if clear is None:
        return []
    near = {clear, *NEIGHBOURS[clear]}
    return [
        name
        for name, share in zip(COLORS, shares, strict=True)
        if name not in near and share < 0.04
    ]
