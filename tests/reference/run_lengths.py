"""Run lengths of one row, one cell after the other."""

from __future__ import annotations

from collections.abc import Sequence


def count_run(row: Sequence[bool], col: int) -> int:
    """The run of a row that begins in `col`."""
    length = 1
    while col + length < len(row) and row[col + length] == row[col]:
        length += 1
    return length


def choose_by_hand(row: Sequence[bool], col: int, *, named: bool) -> int:
    """The length that leaves fewest wrong cells in the row, the shortest of several such.

    Tried out: the run of the label `named`, and behind it runs of labels in turn, at their best.
    """
    return _fewest_wrong(tuple(row[col:]), named)[1]


def _fewest_wrong(row: tuple[bool, ...], named: bool) -> tuple[int, int]:
    """Wrong cells at best, and the first run's length then: from the row's end to its start."""
    count = len(row)
    best = {(count, label): (0, 0) for label in (False, True)}
    for start in range(count - 1, -1, -1):
        for label in (False, True):
            wrong, found = 0, (count + 1, 0)
            for length in range(1, count - start + 1):
                wrong += row[start + length - 1] != label
                total = wrong + best[start + length, not label][0]
                found = min(found, (total, length))
            best[start, label] = found
    return best[0, named]
