"""COCO run lengths: masks as the strings that pycocotools writes.

COCO counts pixels column by column (column-major); masks here are ordinary `h w` arrays.
`core.packed` describes the strings.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from text4seg.core.errors import InputError
from text4seg.core.packed import FIRST, GROUPS, LAST, packed_edges, packed_numbers
from text4seg.core.types import Box, Size

MAX_PIXELS = 1 << 28
"""The largest mask that is read: a small string may otherwise ask for all memory."""

_KEPT_BELOW = 1 << 16
_AT_ONCE = 128  # masks read in one turn: memory does not grow with their number


def mask_to_rle(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """Write a mask as COCO run lengths, with the same string as pycocotools.

    Args:
        mask: A boolean array `h w`.

    Returns:
        `{"size": [height, width], "counts": "…"}`.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"a mask is a non-empty array of height x width, got shape {array.shape}")
    flat = (array != 0).ravel(order="F")
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], starts, [flat.size]))
    counts = np.diff(edges)
    if flat[0]:
        counts = np.concatenate(([0], counts))
    height, width = array.shape
    return {"size": [int(height), int(width)], "counts": _compress(counts.tolist())}


def rle_to_mask(rle: Mapping[str, Any]) -> Bool[np.ndarray, "h w"]:
    """Read COCO run lengths.

    Args:
        rle: `{"size": [height, width], "counts": …}` with a compressed text or bytes, or a list.

    Returns:
        A boolean array `h w`.

    Raises:
        InputError: They do not describe a mask of the given size.
    """
    size, counts = _read(rle)
    values = np.arange(len(counts)) % 2 == 1
    flat = np.repeat(values, counts)
    return np.ascontiguousarray(flat.reshape((size.height, size.width), order="F"))


def rle_area(rle: Mapping[str, Any]) -> int:
    """Count the pixels set; raises `InputError` as `rle_to_mask` does."""
    return int(_read(rle)[1][1::2].sum())


def rle_to_box(rle: Mapping[str, Any]) -> Box | None:
    """Find the smallest box around the pixels set, or None; raises `InputError`."""
    return rle_to_runs(rle).box


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A mask as its runs of pixels set, measured and compared without drawing it.

    Attributes:
        size: The size of the image.
        starts: The first pixel of each run in COCO's order, ascending.
        ends: The pixel just behind each run; no run is empty.
    """

    size: Size
    starts: Int64[np.ndarray, " n"]
    ends: Int64[np.ndarray, " n"]

    @property
    def area(self) -> int:
        """The number of pixels set."""
        return int((self.ends - self.starts).sum())

    @property
    def box(self) -> Box | None:
        """The smallest box around the pixels set, or None."""
        if len(self.starts) == 0:
            return None
        height = self.size.height
        left, right = self.starts // height, (self.ends - 1) // height
        # A run that turns into the next column touches the bottom and the top of the image.
        turns = bool((left != right).any())
        top = 0 if turns else int((self.starts % height).min())
        bottom = height if turns else int(((self.ends - 1) % height).max()) + 1
        return Box(int(left[0]), top, int(right[-1]) + 1, bottom)

    def overlap(self, other: Runs) -> int:
        """The number of pixels set in both, in time n log m; raises `InputError` on other sizes."""
        if self.size != other.size:
            raise InputError(f"masks to compare have one size, got {self.size} and {other.size}")
        if len(self.starts) == 0 or len(other.starts) == 0:
            return 0
        few, many = (self, other) if len(self.starts) < len(other.starts) else (other, self)
        return int((many._before(few.ends) - many._before(few.starts)).sum())

    def _before(self, places: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """How many pixels are set before each place."""
        done = np.zeros(len(self.starts) + 1, dtype=np.int64)
        np.cumsum(self.ends - self.starts, out=done[1:])
        begun = np.searchsorted(self.starts, places)
        beyond = np.maximum(self.ends[begun - 1] - places, 0)  # of the run begun last
        return np.asarray(done[begun] - np.where(begun > 0, beyond, 0))


def rle_to_runs(rle: Mapping[str, Any]) -> Runs:
    """Read COCO run lengths, compressed or a list of counts; raises `InputError`."""
    size, counts = _read(rle)
    ends = np.cumsum(counts)[1::2]
    starts = ends - counts[1::2]
    kept = ends > starts
    return Runs(size, starts[kept], ends[kept])


def rles_to_runs(rles: Sequence[Mapping[str, Any]]) -> list[Runs]:
    """Read many masks, much faster than one by one where they are compressed strings."""
    found: list[Runs] = []
    for at in range(0, len(rles), _AT_ONCE):
        turn = rles[at : at + _AT_ONCE]
        together = _read_together(turn)
        found += [rle_to_runs(rle) for rle in turn] if together is None else together
    return found


def _read_together(rles: Sequence[Mapping[str, Any]]) -> list[Runs] | None:
    """All masks in a few array operations; None where one has no string or something wrong."""
    listed = _strings(rles)
    if listed is None:
        return None
    parts, sizes = listed
    pixels = np.array([size.pixels for size in sizes])
    found = packed_edges(parts, pixels) if pixels.max() <= MAX_PIXELS else None
    if found is None:
        return None
    edges, begin = found
    kept = edges[:, 1] > edges[:, 0]
    before = np.concatenate([[0], np.cumsum(kept)])
    bounds = before[[*begin.tolist(), len(edges)]].tolist()
    starts, ends = np.ascontiguousarray(edges[kept].T)
    return [
        Runs(size, starts[first:behind], ends[first:behind])
        for size, first, behind in zip(sizes, bounds, bounds[1:], strict=False)
    ]


def _strings(rles: Sequence[Mapping[str, Any]]) -> tuple[list[bytes], list[Size]] | None:
    """The compressed counts and the sizes, or None where there are others or none."""
    try:
        raws = [rle["counts"] for rle in rles]
        sides = [tuple(rle["size"]) for rle in rles]
        sizes = [Size(*pair) for pair in sides]
    except (KeyError, TypeError, InputError):
        return None
    if not raws or not {type(raw) for raw in raws} <= {str, bytes}:
        return None
    if {type(side) for pair in sides for side in pair} != {int}:
        return None
    return [raw.encode("utf-8", "replace") if isinstance(raw, str) else raw for raw in raws], sizes


def cells_to_runs(cells: Bool[np.ndarray, "rows cols"], size: Size) -> Runs:
    """Get the runs of a grid's cells as blocks of pixels, as `cells_to_mask` would draw them."""
    rows, cols = cells.shape
    # A pixel belongs to the cell that its center lies in: (2y + 1) R // 2H, so the first pixel of
    # row r is the smallest y with (2y + 1) R >= 2H r.
    down = -((rows - 2 * size.height * np.arange(rows + 1, dtype=np.int64)) // (2 * rows))
    across = -((cols - 2 * size.width * np.arange(cols + 1, dtype=np.int64)) // (2 * cols))
    framed = np.zeros((rows + 2, cols), dtype=np.int8)
    framed[1:-1] = cells
    turns = np.diff(framed, axis=0)
    starts, ends = [], []
    for col in np.flatnonzero(np.asarray(cells).any(axis=0)).tolist():
        columns = np.arange(across[col], across[col + 1])[:, None] * size.height
        starts.append((columns + down[np.flatnonzero(turns[:, col] == 1)]).ravel())
        ends.append((columns + down[np.flatnonzero(turns[:, col] == -1)]).ravel())
    nothing = np.zeros(0, dtype=np.int64)
    begun, ended = np.concatenate([nothing, *starts]), np.concatenate([nothing, *ends])
    kept = ended > begun  # in an image smaller than the grid, a cell may have no pixel
    return Runs(size, begun[kept], ended[kept])


def _read(rle: Mapping[str, Any]) -> tuple[Size, Int64[np.ndarray, " n"]]:
    try:
        height, width = rle["size"]
        raw = rle["counts"]
    except (KeyError, TypeError, ValueError):
        raise InputError('COCO run lengths are {"size": [height, width], "counts": …}') from None
    if not (_is_count(height) and _is_count(width)):
        raise InputError(f"the size of COCO run lengths is two integers, got {rle['size']!r}")
    size = Size(int(height), int(width))
    if size.pixels > MAX_PIXELS:
        raise InputError(f"a mask of {size} pixels is larger than {MAX_PIXELS} pixels")
    counts = _decompress(raw) if isinstance(raw, str | bytes) else _check_counts(raw)
    total = int(counts.sum())
    if total != size.pixels:
        raise InputError(
            f"the counts of COCO run lengths sum to {total}, but {size} has {size.pixels} pixels"
        )
    return size, counts


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


def _check_counts(raw: object) -> Int64[np.ndarray, " n"]:
    if not isinstance(raw, list | tuple | np.ndarray):
        raise InputError(f"counts are a string or a list of integers, got {type(raw).__name__}")
    for at, value in enumerate(raw):
        if not _is_count(value) or value > MAX_PIXELS:
            raise InputError(f"count {at} of COCO run lengths is not a number of pixels: {value!r}")
    return np.array(raw, dtype=np.int64)


def _compress(counts: list[int]) -> str:
    out = bytearray()
    for at, count in enumerate(counts):
        value = count - counts[at - 2] if at > 2 else count
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != -1 if group & 0x10 else value != 0
            out.append(FIRST + (group | 0x20 if more else group))
    return out.decode("ascii")


def _decompress(raw: str | bytes) -> Int64[np.ndarray, " n"]:
    """The counts of a string; read-only, as the last few are kept: a mask is read several times."""
    return _kept(raw) if len(raw) < _KEPT_BELOW else _decoded(raw)


@functools.lru_cache(maxsize=16)
def _kept(raw: str | bytes) -> Int64[np.ndarray, " n"]:
    counts = _decoded(raw)
    counts.setflags(write=False)
    return counts


def _decoded(raw: str | bytes) -> Int64[np.ndarray, " n"]:
    data = raw.encode("utf-8", "replace") if isinstance(raw, str) else raw
    counts = _decompress_at_once(data)
    return _decompress_bytewise(data) if counts is None else counts


def _decompress_at_once(data: bytes) -> Int64[np.ndarray, " n"] | None:
    """All counts in a few array operations; None where something is wrong with them."""
    found = packed_numbers(data)
    if found is None:
        return None
    values = found[0]
    # From the fourth on, each is the difference to the one two before it.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values if values.min() >= 0 and values.max() <= MAX_PIXELS else None


def _decompress_bytewise(data: bytes) -> Int64[np.ndarray, " n"]:
    """The same, slowly, and with the place of what is wrong."""
    counts: list[int] = []
    value = shift = 0
    for at, byte in enumerate(data):
        if not FIRST <= byte <= LAST:
            raise InputError(f"byte {at} of the counts, {chr(byte)!r}, is not of COCO's alphabet")
        group = byte - FIRST
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            if shift >= 5 * GROUPS:
                raise InputError(f"the count that ends at byte {at} is too large")
            continue
        if group & 0x10:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        if not 0 <= value <= MAX_PIXELS:
            raise InputError(f"the count that ends at byte {at} is {value}, not a pixel count")
        counts.append(value)
        value = shift = 0
    if shift:
        raise InputError("the counts stop in the middle of a number")
    return np.array(counts, dtype=np.int64)
