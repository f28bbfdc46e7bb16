"""Small helpers that the three formats share: words, runs, and what was expected where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from text4seg.core.errors import LabelError, MaskSyntaxError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, check_label, label_fault

NEXT = "| "
"""Between the cells or runs of a row."""
NEXT_ROW = "\n "
"""Between rows."""
LAST = "\n"
"""After the last row."""

_LISTED = 6  # names shown in a message
_MAX_DIGITS = 5  # 256 x 256 cells

_AFTER_LABEL = re.compile(r" \*[0-9]|[|\n\r]")
_COUNT = re.compile(r"[1-9][0-9]*")

Runs = list[tuple[str, int]]


class Words:
    """The labels a text may use, and their numbers in the order they were met."""

    def __init__(self, labels: Sequence[str] | None) -> None:
        self.allowed = None if labels is None else frozenset(names_of(labels))
        self._names = labels
        self._index = {OTHERS: 0}

    def number(self, label: str, text: str, at: int) -> int:
        """The number of `label`, found in `text` at `at`; raises `MaskSyntaxError`."""
        known = self._index.get(label)
        if known is not None:
            return known
        if self.allowed is not None and label not in self.allowed:
            raise MaskSyntaxError(text, at, self._expected())
        fault = label_fault(label)
        if fault:
            raise MaskSyntaxError(text, at, f"a label, but {fault}")
        return self._index.setdefault(label, len(self._index))

    def grid(self, cells: Iterable[int], shape: GridShape) -> DescriptorGrid:
        """The grid of these numbers, row by row."""
        array = np.fromiter(cells, dtype=np.int32, count=shape.cells)
        return DescriptorGrid.build(tuple(self._index), array.reshape(shape.rows, shape.cols))

    def _expected(self) -> str:
        names = names_of(self._names or ())
        listed = ", ".join(repr(name) for name in names[:_LISTED])
        return f"one of {listed}{' …' if len(names) > _LISTED else ''}"


def names_of(labels: Sequence[str]) -> tuple[str, ...]:
    """`others` and then the labels, each once; raises `LabelError` for one that is none."""
    if isinstance(labels, str):
        raise LabelError(f"labels are a list of names, got the string {labels!r}")
    for label in labels:
        if label != OTHERS:
            check_label(label)
    return tuple(dict.fromkeys((OTHERS, *labels)))


def runs_of(words: Iterable[str]) -> str:
    """Write words as runs."""
    return NEXT.join(f"{word} *{sum(1 for _ in run)}" for word, run in groupby(words))


def read_runs(text: str, at: int, cells: int, words: Words) -> tuple[list[int], int]:
    """Read runs that fill exactly `cells` cells from offset `at`.

    Returns the number of the word of each cell, and the offset after the last run.
    """
    numbers: list[int] = []
    last = None
    while len(numbers) < cells:
        if numbers:
            at = expect(
                text, at, NEXT, f"{NEXT!r} and more runs: {cells - len(numbers)} cells left"
            )
        end = _AFTER_LABEL.search(text, at)
        label = text[at : end.start() if end else len(text)]
        if not label:
            raise MaskSyntaxError(text, at, "a label")
        number = words.number(label, text, at)
        if number == last:
            raise MaskSyntaxError(text, at, f"a label other than {label!r} of the run before")
        at = expect(text, at + len(label), " *", "' *' and a count")
        count, at = _read_count(text, at, cells - len(numbers))
        numbers += [number] * count
        last = number
    return numbers, at


def _read_count(text: str, at: int, most: int) -> tuple[int, int]:
    match = _COUNT.match(text, at)
    digits = match[0] if match else ""
    if not digits or len(digits) > _MAX_DIGITS or int(digits) > most:
        raise MaskSyntaxError(text, at, f"a count from 1 to {most} without a leading zero")
    return int(digits), at + len(digits)


def expect(text: str, at: int, token: str, expected: str) -> int:
    """The offset after `token`; raises `MaskSyntaxError` where something else stands at `at`."""
    if text.startswith(token, at):
        return at + len(token)
    # Point at the first character that differs.
    while token and text.startswith(token[0], at):
        token, at = token[1:], at + 1
    raise MaskSyntaxError(text, at, expected)


def expect_end(text: str, at: int) -> None:
    """Raise `MaskSyntaxError` unless the text ends at `at`."""
    if at != len(text):
        raise MaskSyntaxError(text, at, "the end of the text after the last row")
