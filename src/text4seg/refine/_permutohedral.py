"""Gaussian filtering in many dimensions on the permutohedral lattice (Adams et al. 2010).

Values are spread onto the corners of the simplices that contain their features (splat), blurred
along the lattice's directions, and gathered back (slice): linear in the number of values.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64


class Permutohedral:
    """The filter exp(-|f_i - f_j|² / 2) among the given features, up to a constant factor."""

    def __init__(self, features: Float64[np.ndarray, "n d"]) -> None:
        count, dims = features.shape
        base, order, shares = _simplex(features)
        corners = np.arange(dims + 1)
        # Corner k of a simplex: add k to each coordinate, minus d + 1 for the k of lowest order.
        canonical = np.where(
            order[:, None, :] <= dims - corners[None, :, None],
            corners[None, :, None],
            corners[None, :, None] - (dims + 1),
        )
        keys = (base[:, None, :] + canonical)[..., :dims].reshape(-1, dims)
        self._low = keys.min(axis=0) - 2  # room for neighbors on both sides
        self._spans = keys.max(axis=0) - self._low + 3
        codes, places = np.unique(self._encode(keys), return_inverse=True)
        self._places: Int64[np.ndarray, " corners"] = places.reshape(-1)
        self._shares = shares.reshape(-1)
        self._count, self._corners, self._points = count, dims + 1, len(codes)
        self._neighbors = self._find_neighbors(codes, keys, dims)

    def _encode(self, keys: Int64[np.ndarray, "n d"]) -> Int64[np.ndarray, " n"]:
        code = np.zeros(len(keys), dtype=np.int64)
        for axis, span in enumerate(self._spans):
            code = code * span + (keys[:, axis] - self._low[axis])
        return code

    def _find_neighbors(
        self, codes: Int64[np.ndarray, " m"], keys: Int64[np.ndarray, "n d"], dims: int
    ) -> list[tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]]:
        """The lattice points on both sides along each direction; index m where there is none."""
        points = np.empty((self._points, dims), dtype=np.int64)
        points[self._places] = keys
        found = []
        for axis in range(dims + 1):
            step = -np.ones(dims, dtype=np.int64)
            if axis < dims:
                step[axis] = dims
            found.append(tuple(self._look_up(codes, points + way * step) for way in (1, -1)))
        return found  # type: ignore[return-value]

    def _look_up(
        self, codes: Int64[np.ndarray, " m"], keys: Int64[np.ndarray, "m d"]
    ) -> Int64[np.ndarray, " m"]:
        inside = ((keys >= self._low) & (keys < self._low + self._spans)).all(axis=1)
        wanted = self._encode(keys)
        at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        return np.where(inside & (codes[at] == wanted), at, len(codes))

    def filter(self, values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Filter one value for each feature.

        Args:
            values: In the order of the features.

        Returns:
            The filtered values; divide by the result for ones to remove the constant factor.
        """
        spread = self._shares * np.repeat(values, self._corners)
        lattice = np.bincount(self._places, spread, minlength=self._points + 1)
        for above, below in self._neighbors:
            lattice[:-1] = lattice[:-1] + 0.5 * (lattice[above] + lattice[below])
        gathered = (self._shares * lattice[self._places]).reshape(self._count, self._corners)
        return np.asarray(gathered.sum(axis=1))


def _simplex(
    features: Float64[np.ndarray, "n d"],
) -> tuple[Int64[np.ndarray, "n d1"], Int64[np.ndarray, "n d1"], Float64[np.ndarray, "n d1"]]:
    """Remainder-0 corner, coordinate order and barycentric weights of each simplex."""
    count, dims = features.shape
    # Scaled so that the blur, of variance 1/2 in steps along each direction, has deviation 1.
    axes = np.arange(1, dims + 1)
    scaled = features * ((dims + 1) * np.sqrt(2 / 3) / np.sqrt(axes * (axes + 1)))
    raised = np.zeros((count, dims + 1))
    total = np.zeros(count)
    for axis in range(dims, 0, -1):
        raised[:, axis] = total - axis * scaled[:, axis - 1]
        total += scaled[:, axis - 1]
    raised[:, 0] = total
    base = np.rint(raised / (dims + 1)).astype(np.int64) * (dims + 1)
    excess = base.sum(axis=1) // (dims + 1)
    offset = raised - base
    order = np.empty((count, dims + 1), dtype=np.int64)
    ranked = np.argsort(-offset, axis=1, kind="stable")
    np.put_along_axis(order, ranked, np.arange(dims + 1)[None].repeat(count, 0), axis=1)
    order += excess[:, None]  # move coordinates that do not add up to 0 back to the hyperplane
    low, high = order < 0, order > dims
    order += (low.astype(np.int64) - high) * (dims + 1)
    base += (low.astype(np.int64) - high) * (dims + 1)
    offset = (raised - base) / (dims + 1)
    shares = np.zeros((count, dims + 2))
    rows = np.arange(count)[:, None].repeat(dims + 1, 1)
    np.add.at(shares, (rows, dims - order), offset)
    np.add.at(shares, (rows, dims + 1 - order), -offset)
    shares[:, 0] += 1 + shares[:, dims + 1]
    return base, order, shares[:, : dims + 1]
