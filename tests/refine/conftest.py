"""Grids and images that several tests of refiners share."""

from __future__ import annotations

import numpy as np
from PIL import Image

from text4seg.core.types import Size

IMAGE = Image.new("RGB", (64, 48))
IMAGE.paste((200, 180, 20), (16, 12, 48, 36))  # where the cells of `cells` lie
SIZE = Size(48, 64)


def cells(value: float, inside: float) -> np.ndarray:
    probability = np.full((8, 8), value, dtype=np.float32)
    probability[2:6, 2:6] = inside
    return probability


def blob(rows: slice = slice(2, 6), cols: slice = slice(3, 9)) -> np.ndarray:
    probability = np.zeros((12, 12), dtype=np.float32)
    probability[rows, cols] = 0.95
    return probability


def disc(rows: int, cols: int) -> np.ndarray:
    ys, xs = np.mgrid[:rows, :cols]
    return (ys / rows - 0.47) ** 2 + (xs / cols - 0.52) ** 2 < 0.09
