"""A smooth field over the photo whose level one half is the outline that the cells tell of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from text4seg.core.geometry import interpolation_weights

_STEPS = 16
_RATE = 0.7
_STEEPNESS = 8.0
_SUBCELLS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Values at the centres of the cells, interpolated bicubically between them."""

    values: Float64[np.ndarray, "rows cols"]

    def at(
        self, ys: Float64[np.ndarray, " h"], xs: Float64[np.ndarray, " w"]
    ) -> Float64[np.ndarray, "h w"]:
        """The field on a raster of places, each a share of the photo's height or width."""
        rows, cols = self.values.shape
        down = interpolation_weights(ys * rows - 0.5, rows, "bicubic")
        across = interpolation_weights(xs * cols - 0.5, cols, "bicubic")
        return np.asarray(down @ self.values @ across.T)


def covering_field(probability: Float[np.ndarray, "rows cols"]) -> Field:
    """The field above one half on the share of each cell that its probability tells.

    Interpolating the shares themselves blurs: the level one half then cuts corners and loses what
    is thin. So values are sought, by a few corrections, whose *cut* field covers each cell by its
    share – as free surfaces are rebuilt from volume fractions in fluid dynamics. A share of 0 or 1
    is all the same a whole cell, so from a yes or no for every cell only blocks come, with rounded
    corners.
    """
    wanted = np.asarray(probability, dtype=np.float64)
    rows, cols = wanted.shape
    down, across = (
        interpolation_weights((np.arange(n * _SUBCELLS) + 0.5) / _SUBCELLS - 0.5, n, "bicubic")
        for n in (rows, cols)
    )
    values = wanted.copy()
    for _ in range(_STEPS):
        cut = np.clip((down @ values @ across.T - 0.5) * _STEEPNESS + 0.5, 0, 1)
        covered = cut.reshape(rows, _SUBCELLS, cols, _SUBCELLS).mean(axis=(1, 3))
        values += _RATE * (wanted - covered)
    return Field(values)
