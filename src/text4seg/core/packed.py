"""Decoding many strings of COCO run lengths at once: from characters to numbers to runs.

A string holds each count (from the fourth on, its difference to the count two before) in groups of
five bits, lowest first; a sixth bit says that another group follows. Functions here return None
where anything is wrong: `core.run_lengths` then reads byte by byte and reports what and where.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

FIRST, LAST = 48, 48 + 63
"""The codes of the alphabet."""

GROUPS = 7
"""Groups of five bits: more than the count of any mask needs that is read."""


def packed_numbers(
    data: bytes,
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]] | None:
    """Read the numbers of a string and the places of their last bytes; None for a wrong string."""
    codes = np.frombuffer(data, dtype=np.uint8) - np.uint8(FIRST)  # what is below wraps around
    if len(codes) == 0 or codes.max() >= 64:
        return None
    last = np.flatnonzero(codes < 0x20)
    if len(last) == 0 or last[-1] != len(codes) - 1:
        return None
    # The fifth bit of the highest group is the sign; most numbers have one group only.
    values = (codes[last] ^ np.uint8(0x10)).astype(np.int64) - 0x10
    lengths = np.diff(last, prepend=-1)
    longer = np.flatnonzero(lengths > 1)
    if len(longer) == 0:
        return values, last
    groups = lengths[longer]
    if groups.max() > GROUPS:
        return None
    first = last[longer] - groups + 1
    found = values[longer] << (5 * (groups - 1))
    for group in range(int(groups.max()) - 1):
        at = np.flatnonzero(groups > group + 1)
        found[at] += (codes[first[at] + group].astype(np.int64) & 0x1F) << (5 * group)
    values[longer] = found
    return values, last


def packed_edges(
    parts: Sequence[bytes], pixels: Int64[np.ndarray, " masks"]
) -> tuple[Int64[np.ndarray, "runs 2"], Int64[np.ndarray, " masks"]] | None:
    """Find where each run begins and ends (just behind), and the first run of each mask.

    Some runs may be empty. `pixels` has the size of each mask; None where counts do not sum to it.
    """
    found = packed_numbers(b"".join(parts))
    if found is None:
        return None
    values, last = found
    stops = np.cumsum([len(part) for part in parts])
    behind = np.searchsorted(last, stops)  # numbers up to the end of each string
    numbers = np.diff(behind, prepend=0)
    if numbers.min() < 1 or not np.array_equal(last[behind - 1] + 1, stops):
        return None
    # Counts come in pairs, off and on; a mask that ends with off gets an empty run behind it.
    odd = np.flatnonzero(numbers % 2)
    pairs = np.insert(values, behind[odd], 0).reshape(-1, 2)
    runs = (numbers + 1) // 2
    end = np.cumsum(runs)
    begin = end - runs
    counts = _undo_differences(pairs, begin, numbers)
    counts[end[odd] - 1, 1] = 0
    totals = np.add.reduceat(counts, begin).sum(axis=1)
    if counts.min() < 0 or not np.array_equal(totals, pixels):
        return None
    edges = np.cumsum(counts.ravel()).reshape(-1, 2)
    edges -= np.repeat(np.cumsum(pixels) - pixels, runs)[:, None]
    return edges, begin


def _undo_differences(
    pairs: Int64[np.ndarray, "runs 2"],
    begin: Int64[np.ndarray, " masks"],
    numbers: Int64[np.ndarray, " masks"],
) -> Int64[np.ndarray, "runs 2"]:
    """Counts from differences to the pair before: one sum over all masks, started anew at each."""
    # The third number of a mask is the one count in a second pair that is no difference.
    third = begin[numbers > 2] + 1
    pairs[third, 0] -= pairs[third - 1, 0]
    sums = np.add.reduceat(pairs, begin)
    pairs[begin[1:]] -= sums[:-1]
    return np.asarray(np.cumsum(pairs, axis=0))


__all__ = ["FIRST", "GROUPS", "LAST", "packed_edges", "packed_numbers"]
