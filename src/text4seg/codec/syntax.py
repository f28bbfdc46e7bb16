r"""How the text of a format lays out cells: everything that is not writing or reading whole texts.

Decoding, drafting, streaming, cell probabilities and loss weights ask a format's `Syntax` and know
no format. A syntax sees bytes and cells: a *line* is a stretch of cells that stand next to each
other in the text, such as a row of the grid.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from text4seg.codec.line_guesses import (
    cells_left,
    follow_image,
    follow_rows,
    read_row,
    repeat_image,
    repeat_rows,
)
from text4seg.core.errors import InputError
from text4seg.core.types import GridShape

if TYPE_CHECKING:
    from text4seg.codec.line_guesses import Cells

SpanKind = Literal["label", "count", "separator"]
Array = TypeVar("Array", bound=np.ndarray)


class Span(NamedTuple):
    """A stretch of text of one kind.

    Attributes:
        kind: What the stretch is.
        start: Its first character.
        end: The character after it.
    """

    kind: SpanKind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run whose count is being written.

    Attributes:
        label: The run's label.
        digits: The digits of the count so far; may be empty.
        offset: Byte offset of the mark before the count; it identifies the run.
        cells_left: The largest count that fits.
    """

    label: bytes
    digits: bytes
    offset: int
    cells_left: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One label of a complete text, with the cells that it covers.

    Attributes:
        start: Byte offset of the label.
        label_end: Byte offset after the label.
        count_start: Byte offset of the count; None where the format writes none.
        line: The index of the stretch that runs may not cross: a line, or 0 for the whole image.
        first: The first covered cell of that stretch.
        length: How many cells it covers.
        closing: The bytes that end the label: what tells it from a longer label.
    """

    start: int
    label_end: int
    count_start: int | None
    line: int
    first: int
    length: int
    closing: bytes


class Cursor(Protocol):
    """A place in a text, reduced to what decides which tokens the grammar allows next."""

    def feed(self, piece: bytes) -> None:
        """Move on by some text."""
        ...

    def copy(self) -> Cursor:
        """An independent cursor at the same place."""
        ...

    def key(self) -> Hashable:
        """Equal keys: what may follow in the text is the same."""
        ...


class Syntax(Protocol):
    """The layout of one format's text."""

    @property
    def covers_image(self) -> bool:
        """Whether the cells of the text are those of a grid over the image.

        If not (boxes), nothing is drafted from cells, and cells have no probabilities.
        """
        ...

    @property
    def has_counts(self) -> bool:
        """Whether labels carry run lengths."""
        ...

    def line_shape(self, shape: GridShape) -> GridShape:
        """How many lines the text has, and how many cells a line.

        Args:
            shape: The grid.

        Returns:
            Lines as `rows` and cells a line as `cols`.
        """
        ...

    def run_width(self, shape: GridShape) -> int:
        """How many cells runs fill together: those of a line, or all of them.

        Args:
            shape: The grid.

        Returns:
            The number of cells.
        """
        ...

    def to_lines(self, cells: Array) -> Array:
        """Reorder an array over the grid to the order of the text.

        Args:
            cells: An array whose last two axes are rows and columns.

        Returns:
            The array with lines and cells a line as its last two axes.
        """
        ...

    def from_lines(self, cells: Array) -> Array:
        """The inverse of `to_lines`.

        Args:
            cells: An array in the order of the text.

        Returns:
            The array over the grid.
        """
        ...

    def settled_cells(self, text: bytes, shape: GridShape) -> list[bytes]:
        """The cells that the beginning of a text has settled.

        Args:
            text: Any beginning of a text of this format.
            shape: The grid.

        Returns:
            Labels in the order of the text. A run that may still grow is not settled.
        """
        ...

    def complete(self, text: bytes, lines: Sequence[Cells], shape: GridShape) -> Iterator[bytes]:
        """Guess the rest of a text from a guessed grid.

        Args:
            text: The beginning of the text. It may contradict the guess: the rest of its line is
                then fitted to what is written.
            lines: The labels of every cell, line by line.
            shape: The grid.

        Returns:
            Pieces of the text after `text`; none where nothing fits.
        """
        ...

    def repeat_lines(self, text: bytes, shape: GridShape | None) -> Iterator[bytes]:
        """Guess the rest of a text: every line is like the one above it.

        Args:
            text: The beginning of the text.
            shape: The grid, if it is known; without it the guess may be endless.

        Returns:
            Pieces of the text after `text`; none where nothing is known.
        """
        ...

    def open_run(self, text: bytes, shape: GridShape) -> OpenRun | None:
        """The run whose count is being written at the end of a text; None if there is none.

        Args:
            text: The beginning of a text, in UTF-8.
            shape: The grid.

        Returns:
            The open run.
        """
        ...

    def units(self, text: bytes, shape: GridShape) -> Iterator[Unit]:
        """The labels of a complete text with the cells that they cover, in order.

        Args:
            text: A complete text, in UTF-8.
            shape: The grid.

        Returns:
            The labels, one after the other.

        Raises:
            InputError: The text is not a complete text of this grid.
        """
        ...

    def line_ends(self, text: bytes, shape: GridShape) -> list[int]:
        """Byte offsets after which one more line of the grid is settled, for streaming.

        Args:
            text: The beginning of a text, in UTF-8.
            shape: The grid.

        Returns:
            The offsets, ascending.
        """
        ...

    def cursor(self, shape: GridShape) -> Cursor | None:
        """A cursor at the beginning of a text, with which what may follow can be cached.

        Args:
            shape: The grid.

        Returns:
            None where the format's grammar depends on more than a short key could hold.
        """
        ...

    def spans(self, text: str) -> Iterator[Span]:
        """Split any text of this format into labels, counts and separators, without gaps.

        Args:
            text: Any text of this format.

        Returns:
            The spans, in order.
        """
        ...


_OPEN_COUNT = re.compile(rb" \*([0-9]*)\Z")
_LONGEST_COUNT = 12  # bytes of a count with its mark, and some more
_SPANS = re.compile(r"(?P<count>(?<=[^|\n] \*)[0-9]+)|(?P<separator> \*(?=[0-9])|\| |\n |[|\n])")


@dataclass(frozen=True, slots=True)
class LineSyntax:
    r"""The syntax of `label| label\n label| label\n` and of its variants with run lengths.

    Attributes:
        has_counts: `label *count` instead of `label`.
        scope: What a line of the text is: a `row` or a `column` of the grid; or `image`, where
            runs go on over the ends of rows and no line breaks are written.
    """

    has_counts: bool
    scope: Literal["row", "column", "image"] = "row"

    @property
    def covers_image(self) -> bool:
        """Always true: one cell of the text for each cell of the grid."""
        return True

    @property
    def ends_lines(self) -> bool:
        """False for `image`, which is one line without a break."""
        return self.scope != "image"

    def line_shape(self, shape: GridShape) -> GridShape:
        """Rows and columns, or columns and rows."""
        return GridShape(shape.cols, shape.rows) if self.scope == "column" else shape

    def run_width(self, shape: GridShape) -> int:
        """The cells of a line, or all of them."""
        return shape.cells if self.scope == "image" else self.line_shape(shape).cols

    def to_lines(self, cells: Array) -> Array:
        """Columns become lines where the scope is `column`."""
        return np.swapaxes(cells, -1, -2) if self.scope == "column" else cells

    def from_lines(self, cells: Array) -> Array:
        """The inverse of `to_lines`, which is its own inverse."""
        return self.to_lines(cells)

    def settled_cells(self, text: bytes, shape: GridShape) -> list[bytes]:
        """The cells of every label that is followed by a separator."""
        if self.scope == "image":
            lines = [text.rpartition(b"|")[0]]
        else:
            *lines, last = text.split(b"\n")
            lines.append(last.rpartition(b"|")[0])
        cells: list[bytes] = []
        for line in lines:
            row = read_row(line.removeprefix(b" ")) if line else []
            cells += row[: shape.cells - len(cells)]
        return cells

    def complete(self, text: bytes, lines: Sequence[Cells], shape: GridShape) -> Iterator[bytes]:
        """The rest of the current line, fitted to what is written, then the lines below."""
        if self.scope == "image":
            return follow_image(text, [cell for line in lines for cell in line])
        return follow_rows(text, lines, runs=self.has_counts)

    def repeat_lines(self, text: bytes, shape: GridShape | None) -> Iterator[bytes]:
        """The rest of the current line after the one above, then copies of that line."""
        sides = None if shape is None else self.line_shape(shape)
        size = None if sides is None else (sides.rows, sides.cols)
        if self.scope == "image":
            return repeat_image(text, size)
        return repeat_rows(text, size, runs=self.has_counts)

    def open_run(self, text: bytes, shape: GridShape) -> OpenRun | None:
        """Looks at the end of the text alone, so it is cheap to call after every token."""
        if not self.has_counts:
            return None
        tail = text[-_LONGEST_COUNT:]
        found = _OPEN_COUNT.search(tail)
        if found is None:
            return None
        offset = len(text) - len(tail) + found.start()
        label = text[:offset].rpartition(b"\n")[2].rpartition(b"|")[2].strip(b" ")
        return OpenRun(label, found[1], offset, cells_left(text, self.run_width(shape)))

    def units(self, text: bytes, shape: GridShape) -> Iterator[Unit]:
        """Reads runs or single cells, line by line."""
        width = self.run_width(shape)
        read = self._read_run if self.has_counts else self._read_cell
        offset = 0
        for line in range(shape.cells // width):
            first = 0
            while first < width:
                unit, offset = read(text, offset, line, first, width)
                yield unit
                first += unit.length

    def _read_cell(
        self, text: bytes, offset: int, line: int, first: int, width: int
    ) -> tuple[Unit, int]:
        closing = b"|" if first + 1 < width else b"\n"
        end = text.find(closing, offset)
        if end < 0:
            raise InputError(f"the text is not cells of this grid: byte {offset}")
        # The separator is followed by a space; after the last line that is past the end.
        return Unit(offset, end, None, line, first, 1, closing), end + 2

    def _read_run(
        self, text: bytes, offset: int, line: int, first: int, width: int
    ) -> tuple[Unit, int]:
        after = offset
        while True:  # a label may hold ` *` if no digit follows
            star = text.find(b" *", after)
            after = star + 2
            while text[after : after + 1].isdigit():
                after += 1
            if star < 0 or after > star + 2:
                break
        count = int(text[star + 2 : after]) if star >= 0 else 0
        left = width - first
        last = b"\n" if self.ends_lines else b""
        if not (1 <= count <= left and text.startswith(b"| " if count < left else last, after)):
            raise InputError(f"the text is not runs of this grid: byte {offset}")
        unit = Unit(offset, star, star + 2, line, first, count, b" *")
        return unit, after + (2 if count < left or last else 0)

    def line_ends(self, text: bytes, shape: GridShape) -> list[int]:
        """Line breaks; or, for `image`, the run that completes a row of cells."""
        if self.ends_lines:
            return [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
        ends: list[int] = []
        offset = cells = 0
        *runs, _ = text.split(b"| ")
        for run in runs:
            offset += len(run) + 2
            cells += int(run.rpartition(b"*")[2])
            # A run that goes on below completes several rows at once.
            ends += [offset] * (cells // shape.cols - len(ends))
        return ends

    def cursor(self, shape: GridShape) -> Cursor | None:
        """None for `image`, whose grammar depends on all cells before."""
        return LineCursor(self.line_shape(shape).rows) if self.ends_lines else None

    def spans(self, text: str) -> Iterator[Span]:
        """Digits after ` *` are counts; bars, line breaks and ` *` are separators."""
        return split_spans(_SPANS, text)


class LineCursor:
    """Counts lines, and the cells and the last run's label of the current line.

    What may follow depends on these, on the beginning of the next label or count, and on whether
    the line is the first, the last or another one.
    """

    __slots__ = ("_begun", "_cells", "_label", "_line", "_lines")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._line = self._cells = 0
        self._label = self._begun = b""

    def feed(self, piece: bytes) -> None:
        """Count what the piece ends: lines, and cells and runs of the current line."""
        self._begun += piece
        if b"|" not in self._begun and b"\n" not in self._begun:
            return
        before, _, line = self._begun.rpartition(b"\n")
        if before or len(line) < len(self._begun):
            self._line += 1 + before.count(b"\n")
            self._cells, self._label = 0, b""
        *ended, self._begun = line.split(b"|")
        for one in ended:
            label, _, count = one.rpartition(b" *")
            run = count.isdigit()  # no label ends like a run
            self._cells += int(count) if run else 1
            self._label = label if run else b""

    def copy(self) -> LineCursor:
        """An independent cursor at the same place."""
        other = LineCursor(self._lines)
        other._line, other._cells = self._line, self._cells
        other._label, other._begun = self._label, self._begun
        return other

    def key(self) -> Hashable:
        """The kind of line (first, last, past the end, other) and its beginning."""
        kind = 1 if self._line == 0 else max(-2, self._line - self._lines)
        return kind, self._cells, self._label, self._begun


def split_spans(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """Split a text into spans.

    Args:
        pattern: Finds counts and separators, as groups `count` and `separator`.
        text: Any text.

    Yields:
        The spans in order; what the pattern does not match are labels.
    """
    at = 0
    for found in pattern.finditer(text):
        if found.start() > at:
            yield Span("label", at, found.start())
        yield Span("count" if found["count"] else "separator", *found.span())
        at = found.end()
    if at < len(text):
        yield Span("label", at, len(text))
