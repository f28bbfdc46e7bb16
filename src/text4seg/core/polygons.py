"""Polygons as runs of pixels: what pycocotools draws, for a whole batch, without drawing.

pycocotools follows an outline on a raster five times as fine as the pixels. Where a step passes the
middle of a column of pixels it notes the row, and every second note of a column, from the top,
begins a run: the even-odd rule. Only the steps that pass the middle of a column matter, and their
rows follow from the two ends of an edge. All edges of a batch are therefore processed in a few
array operations, in time proportional to the width of the polygons. The arithmetic is that of
pycocotools' `rleFrPoly`, including its rounding in IEEE doubles, so every pixel is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import chain

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64, Shaped

from text4seg.core.errors import InputError
from text4seg.core.run_lengths import MAX_PIXELS, Runs
from text4seg.core.types import Size

Outline = tuple[Sequence[Sequence[float]], Size]
"""The polygons of one mask, flat lists x, y, x, y, … in pixels, and the size of its image."""

FARTHEST = 1 << 24
"""How far from the image's corner a point may lie, in pixels."""

_FINE = 5  # steps of the walk to a pixel
_MIDDLE = 2  # the step from 5k + 2 to 5k + 3 passes the middle of column k
_AT_ONCE = 128  # masks in one turn: enough to share the cost of a call, few enough for the cache


def polygons_to_runs(outlines: Sequence[Outline]) -> list[Runs]:
    """Find the pixels inside the union of each mask's polygons, as pycocotools draws it.

    A run ends with its column, so two runs may touch. Takes about 12 µs for a mask of COCO in a
    batch.

    Args:
        outlines: The polygons of each mask with the size of its image.

    Returns:
        The runs of each mask.

    Raises:
        InputError: A list is no polygon.
    """
    found: list[Runs] = []
    for at in range(0, len(outlines), _AT_ONCE):
        found += _turn(outlines[at : at + _AT_ONCE])
    return found


def check_polygons(polygons: Sequence[Sequence[float]]) -> list[list[float]]:
    """Convert the polygons of one mask to floats.

    Raises:
        InputError: A list is no polygon.
    """
    return [_checked(at, polygon) for at, polygon in enumerate(polygons)]


def _checked(at: int, polygon: Sequence[float]) -> list[float]:
    try:
        numbers = list(map(float, polygon))
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) < 6 or len(numbers) % 2 or not all(map(np.isfinite, numbers)):
        raise InputError(
            f"polygon {at} is not a list x, y, x, y, … of three points or more: "
            f"{len(polygon) if isinstance(polygon, Sequence) else polygon!r} numbers"
        )
    if max(map(abs, numbers)) > FARTHEST:
        raise InputError(f"polygon {at} has a point farther than {FARTHEST} pixels from the image")
    return numbers


def _turn(outlines: Sequence[Outline]) -> list[Runs]:
    sizes = [size for _, size in outlines]
    for size in sizes:
        if size.pixels > MAX_PIXELS:
            raise InputError(f"a mask of {size} pixels is larger than {MAX_PIXELS} pixels")
    parts = [len(polygons) for polygons, _ in outlines]
    points, counts = _points([polygons for polygons, _ in outlines])
    heights = np.repeat(np.array([size.height for size in sizes]), parts)
    widths = np.repeat(np.array([size.width for size in sizes]), parts)
    starts, ends, bounds = _insides(_edges(points, counts, widths), heights, widths)
    found = []
    behind = 0
    for size, count in zip(sizes, parts, strict=True):
        first, behind = behind, behind + count
        part = slice(bounds[first], bounds[behind])
        runs = starts[part], ends[part]
        found.append(Runs(size, *(runs if count < 2 else _union(*runs))))
    return found


def _points(
    masks: Sequence[Sequence[Sequence[float]]],
) -> tuple[Float64[np.ndarray, "points xy"], Int64[np.ndarray, " polygons"]]:
    """All points, and how many each polygon has."""
    polygons = list(chain.from_iterable(masks))
    try:
        lengths = np.array(list(map(len, polygons)), dtype=np.int64)
        numbers = np.fromiter(chain.from_iterable(polygons), np.float64, int(lengths.sum()))
        fine = not (lengths < 6).any() and not (lengths % 2).any()
    except (TypeError, ValueError, OverflowError):
        fine = False
    if not fine or not (np.abs(numbers) <= FARTHEST).all():
        for mask in masks:
            check_polygons(mask)
    return numbers.reshape(-1, 2), lengths // 2


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Edges on the fine raster, each in the direction in which it is walked.

    A steep edge is walked from the top down, another from left to right. It passes the middles of
    `columns` columns of pixels, the first of which is `first`.
    """

    polygon: Int64[np.ndarray, " edges"]
    steep: Bool[np.ndarray, " edges"]
    x: Int32[np.ndarray, " edges"]
    y: Int32[np.ndarray, " edges"]
    across: Int32[np.ndarray, " edges"]
    down: Int32[np.ndarray, " edges"]
    first: Int64[np.ndarray, " edges"]
    columns: Int64[np.ndarray, " edges"]

    def take(self, chosen: Int64[np.ndarray, " chosen"]) -> _Edges:
        """Some of them."""
        return _Edges(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def each(self, values: Shaped[np.ndarray, " edges"]) -> Shaped[np.ndarray, " notes"]:
        """A value of each edge, once for each column that it passes."""
        return np.repeat(values, self.columns)


def _edges(
    points: Float64[np.ndarray, "points xy"],
    counts: Int64[np.ndarray, " polygons"],
    widths: Int64[np.ndarray, " polygons"],
) -> _Edges:
    fine = (_FINE * points + 0.5).astype(np.int32)  # towards zero, as in C
    behind = np.cumsum(counts)
    following = np.arange(1, len(fine) + 1)
    following[behind - 1] = behind - counts
    polygon = np.repeat(np.arange(len(counts)), counts)
    x, y = np.ascontiguousarray(fine.T)
    other_x, other_y = x[following], y[following]
    steep = np.abs(other_x - x) < np.abs(other_y - y)
    turned = np.where(steep, y > other_y, x > other_x)
    from_x, to_x = np.where(turned, other_x, x), np.where(turned, x, other_x)
    from_y, to_y = np.where(turned, other_y, y), np.where(turned, y, other_y)
    low, high = np.minimum(x, other_x), np.maximum(x, other_x)
    first = np.maximum((low - _MIDDLE + _FINE - 1) // _FINE, 0).astype(np.int64)
    last = np.minimum((high - _MIDDLE - 1) // _FINE, widths[polygon] - 1)
    columns = np.maximum(last - first + 1, 0)
    return _Edges(polygon, steep, from_x, from_y, to_x - from_x, to_y - from_y, first, columns)


def _insides(
    edges: _Edges, heights: Int64[np.ndarray, " polygons"], widths: Int64[np.ndarray, " polygons"]
) -> tuple[Int64[np.ndarray, " runs"], Int64[np.ndarray, " runs"], list[int]]:
    """The runs inside each polygon, counted from its image's first pixel, and where its own begin.

    Of one polygon behind the other; the last of the bounds is where the last one's end.
    """
    # One column more than there is: what ends at the right edge stays apart from the next polygon.
    room = (widths + 1) * heights
    begin = np.cumsum(room) - room
    kind = np.int32 if room.sum() < 1 << 31 else np.int64
    sides = begin.astype(kind), heights.astype(kind)
    passing = edges.columns > 0
    flat = edges.take(np.flatnonzero(passing & ~edges.steep))
    steep = edges.take(np.flatnonzero(passing & edges.steep))
    notes = np.concatenate(
        [_notes(flat, _rows_of_flat, *sides), _notes(steep, _rows_of_steep, *sides)]
    )
    notes.sort()
    starts, ends = notes[0::2], notes[1::2]  # a closed walk passes a column an even number of times
    runs = np.bincount(edges.polygon, edges.columns, len(room)).astype(np.int64) // 2
    kept = np.flatnonzero(ends > starts)
    bounds = np.searchsorted(kept, [0, *np.cumsum(runs).tolist()]).tolist()
    offset = np.repeat(begin, runs)[kept]
    return starts[kept] - offset, ends[kept] - offset, bounds


_Rows = Callable[[_Edges, Int64[np.ndarray, " notes"]], Float64[np.ndarray, " notes"]]


def _notes(
    edges: _Edges,
    rows_of: _Rows,
    begin: Int[np.ndarray, " polygons"],
    heights: Int[np.ndarray, " polygons"],
) -> Int[np.ndarray, " notes"]:
    """The places that edges note, in pixels: where their polygon begins, the column, the row."""
    before = np.cumsum(edges.columns) - edges.columns
    column = edges.each(edges.first - before) + np.arange(int(edges.columns.sum()))
    height = edges.each(heights[edges.polygon])
    fine = rows_of(edges, column).astype(np.int32)
    row = np.minimum(np.maximum((fine + (_FINE - 1 - _MIDDLE)) // _FINE, 0), height)
    return np.asarray(edges.each(begin[edges.polygon]) + column.astype(height.dtype) * height + row)


def _rows_of_flat(
    edges: _Edges, column: Int64[np.ndarray, " notes"]
) -> Float64[np.ndarray, " notes"]:
    """The upper row, on the fine raster, of the step of each edge past the middle of a column."""
    slope = edges.down / edges.across
    # Of the two points of a step the upper one counts: the right one where the edge rises.
    steps = _FINE * column + edges.each(_MIDDLE - edges.x + (slope < 0))
    return np.asarray(edges.each(edges.y) + edges.each(slope) * steps + 0.5)


def _rows_of_steep(
    edges: _Edges, column: Int64[np.ndarray, " notes"]
) -> Float64[np.ndarray, " notes"]:
    """The same for edges that go down faster than across."""
    slope = edges.across / edges.down
    left = edges.each(edges.x)
    beyond = _FINE * column + (_MIDDLE + 1)
    # The last row before the edge passes the middle, or on it: there the rounding decides.
    ahead = np.abs(beyond - 0.5 - left) * edges.each(edges.down)
    steps = np.floor(ahead / edges.each(np.abs(edges.across)))
    passed = left + edges.each(slope) * steps + 0.5 >= beyond
    passed ^= edges.each(slope < 0)
    return np.asarray(edges.each(edges.y) + steps - passed)


def _union(
    starts: Int64[np.ndarray, " runs"], ends: Int64[np.ndarray, " runs"]
) -> tuple[Int64[np.ndarray, " fewer"], Int64[np.ndarray, " fewer"]]:
    """Runs that may overlap, as runs that do not."""
    places = np.sort(np.concatenate([2 * starts, 2 * ends + 1]))
    ending = places & 1
    ended = np.flatnonzero(np.cumsum(1 - 2 * ending) == 0)
    begun = np.concatenate([[0], ended[:-1] + 1]) if len(ended) else ended
    return places[begun] >> 1, places[ended] >> 1


__all__ = ["FARTHEST", "Outline", "check_polygons", "polygons_to_runs"]
