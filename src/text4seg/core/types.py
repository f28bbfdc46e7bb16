"""The values that pass between the rooms: sizes, boxes, labels and the descriptor grid.

Heights stand before widths; boxes are `xyxy` in pixels with an exclusive right and bottom edge.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64

from text4seg.core.errors import InputError, LabelError

OTHERS = "others"
"""The reserved label of the background."""

MAX_GRID_SIDE = 256
"""The largest number of rows or columns of a grid."""

_LINE_BREAKS = "\n\r"
_RUN_LENGTH = re.compile(r" \*(?=[0-9])")
_GRID = re.compile(r"([0-9]{1,9})\s*[xX\u00d7]\s*([0-9]{1,9})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS = re.compile(r"</?seg>")


@dataclass(frozen=True, slots=True)
class Size:
    """Height and width of an image.

    Attributes:
        height: Pixels from top to bottom, at least 1.
        width: Pixels from left to right, at least 1.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InputError(
                f"a size needs at least one pixel each way, got {self.height}x{self.width}"
            )

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True, slots=True)
class GridShape:
    """Rows and columns of a grid.

    Attributes:
        rows: From 1 to 256.
        cols: From 1 to 256.
    """

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if not (1 <= self.rows <= MAX_GRID_SIDE and 1 <= self.cols <= MAX_GRID_SIDE):
            raise InputError(
                f"a grid has 1 to {MAX_GRID_SIDE} rows and columns, got {self.rows}x{self.cols}"
            )

    @classmethod
    def parse(cls, text: str) -> GridShape:
        """Read a grid as users write it.

        Args:
            text: `ROWSxCOLS`, as in `16x64`.

        Returns:
            The shape.

        Raises:
            InputError: The text is something else, or a side is out of range.
        """
        match = _GRID.fullmatch(text.strip())
        if match is None:
            raise InputError(f"a grid is written ROWSxCOLS, as in 16x16, got {text[:40]!r}")
        return cls(int(match[1]), int(match[2]))

    @property
    def cells(self) -> int:
        """The number of cells."""
        return self.rows * self.cols

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"


@dataclass(frozen=True, slots=True)
class Box:
    """A box in pixels.

    Attributes:
        x0: The left edge.
        y0: The upper edge.
        x1: The right edge, just outside the box.
        y1: The lower edge, just outside the box.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Pixels from left to right, never negative."""
        return max(self.x1 - self.x0, 0)

    @property
    def height(self) -> float:
        """Pixels from top to bottom, never negative."""
        return max(self.y1 - self.y0, 0)

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height


def check_label(label: str) -> None:
    """Check that a label may name a thing in a mask text.

    Args:
        label: It is not empty, holds no line break, no `|`, no ` *` followed by an ASCII digit,
            no leading, trailing or doubled space, and is not the reserved `others`.

    Raises:
        LabelError: The label cannot be written.
    """
    reason = label_fault(label)
    if reason:
        raise LabelError(f"{_short(label)} cannot be a label: {reason}")


def label_fault(label: str) -> str:
    """Get why `label` may not name a thing; an empty string where it may."""
    tests = (
        (not label, "it is empty"),
        (label == OTHERS, f"{OTHERS!r} is reserved for the background"),
        (any(mark in label for mark in _LINE_BREAKS), "it holds a line break"),
        ("|" in label, "it holds '|', which separates runs"),
        (
            _RUN_LENGTH.search(label) is not None,
            "it holds ' *' followed by a digit, which is a run length",
        ),
        (
            label.strip(" ") != label or "  " in label,
            "it has leading, trailing or doubled spaces",
        ),
        (
            _SURROGATE.search(label) is not None,
            "it holds a lone surrogate, which UTF-8 cannot write",
        ),
    )
    return next((reason for refused, reason in tests if refused), "")


def clean_label(text: str) -> tuple[str, list[str]]:
    """Turn user text into a label.

    Args:
        text: Any text.

    Returns:
        The label, and a list of what had to be changed.

    Raises:
        LabelError: Nothing usable is left (empty text, or `others` itself).
    """
    changes: list[str] = []

    def change(old: str, new: str, what: str) -> str:
        if new != old:
            changes.append(what)
        return new

    label = change(text, _MARKS.sub(" ", text), "dropped <seg> marks")
    label = change(label, label.replace("|", " "), "dropped '|'")
    printable = "".join(char if _is_writable(char) else " " for char in label)
    label = change(label, printable, "dropped control characters")
    label = change(label, " ".join(label.split()), "collapsed white space")
    label = change(label, _RUN_LENGTH.sub(" ", label), "dropped '*' before a digit")
    reason = label_fault(label)
    if reason:
        raise LabelError(f"{_short(text)} cannot be made a label: {reason}")
    return label, changes


def _is_writable(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in ("Cc", "Cs")


def _short(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:59] + "…")


def centers(count: int, length: int) -> Int64[np.ndarray, " count"]:
    """Find the index, among `length` parts, of the middle of each of `count` parts."""
    return (2 * np.arange(count, dtype=np.int64) + 1) * length // (2 * count)


@dataclass(frozen=True, slots=True, eq=False)
class DescriptorGrid:
    """One label for every cell of a grid, kept in one canonical form.

    Whatever is passed in is brought into the canonical form, so two grids are equal when their
    cells carry the same words.

    Attributes:
        labels: `others` first, whether or not a cell has it; then the other labels in the order
            of their first appearance, row by row. Unused labels are dropped.
        cells: Indices into `labels`, `rows cols`, read-only.

    Raises:
        LabelError: A label cannot be written.
        InputError: The cells are not a two-dimensional array of indices.
    """

    labels: tuple[str, ...]
    cells: Int[np.ndarray, "rows cols"]

    def __post_init__(self) -> None:
        cells = np.asarray(self.cells)
        if cells.ndim != 2 or cells.dtype.kind not in "iu":
            raise InputError(
                f"a grid needs a two-dimensional array of integers, got {cells.dtype} "
                f"of shape {cells.shape}"
            )
        GridShape(*cells.shape)
        if cells.min() < 0 or cells.max() >= len(self.labels):
            raise InputError(
                f"cells must be indices into {len(self.labels)} labels, "
                f"got values from {cells.min()} to {cells.max()}"
            )
        labels, cells = _canonical(tuple(self.labels), cells)
        cells.setflags(write=False)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "cells", cells)

    @classmethod
    def build(cls, labels: Sequence[str], cells: Int[np.ndarray, "rows cols"]) -> DescriptorGrid:
        """Make a grid from any labels.

        Args:
            labels: `others` may be anywhere or missing.
            cells: Indices into `labels`.

        Returns:
            The grid in canonical form.
        """
        return cls(tuple(labels), cells)

    @classmethod
    def from_rows(cls, rows: Iterable[Iterable[str]]) -> DescriptorGrid:
        """Make a grid from its words.

        Args:
            rows: The words of each row; all rows have one length.

        Returns:
            The grid.

        Raises:
            InputError: There is no row, or the lengths differ.
        """
        words = [list(row) for row in rows]
        if not words or len({len(row) for row in words}) != 1:
            raise InputError("a grid needs rows, all of one length")
        index: dict[str, int] = {}
        cells = [[index.setdefault(word, len(index)) for word in row] for row in words]
        return cls(tuple(index), np.array(cells, dtype=np.int32))

    @classmethod
    def empty(cls, shape: GridShape) -> DescriptorGrid:
        """Make a grid of background alone.

        Args:
            shape: Its rows and columns.

        Returns:
            The grid.
        """
        return cls((OTHERS,), np.zeros((shape.rows, shape.cols), dtype=np.int32))

    @classmethod
    def canonical(
        cls, labels: tuple[str, ...], cells: Int[np.ndarray, "rows cols"]
    ) -> DescriptorGrid:
        """Make a grid of what is in canonical form already, for readers of many grids.

        Nothing is checked, copied or renumbered.

        Args:
            labels: As the attribute.
            cells: As the attribute, read-only.

        Returns:
            The grid.
        """
        grid = object.__new__(cls)
        object.__setattr__(grid, "labels", labels)
        object.__setattr__(grid, "cells", cells)
        return grid

    @property
    def shape(self) -> GridShape:
        """Rows and columns."""
        return GridShape(*self.cells.shape)

    @property
    def is_empty(self) -> bool:
        """Whether every cell is background."""
        return len(self.labels) == 1

    def select(self, label: str) -> Bool[np.ndarray, "rows cols"]:
        """Find the cells of a label.

        Args:
            label: Any word.

        Returns:
            A boolean array `rows cols`, all False where the grid does not have the label.
        """
        if label not in self.labels:
            return np.zeros(self.cells.shape, dtype=np.bool_)
        return np.asarray(self.cells == self.labels.index(label))

    def label_map(self, size: Size) -> Int32[np.ndarray, "h w"]:
        """Enlarge the cells to pixels: every pixel takes the cell that its center lies in.

        Args:
            size: The size of the image.

        Returns:
            For each pixel the number of its label in `labels`.
        """
        rows, cols = self.cells.shape
        at = np.ix_(centers(size.height, rows), centers(size.width, cols))
        return np.asarray(self.cells[at], dtype=np.int32)

    def mask(self, label: str, size: Size) -> Bool[np.ndarray, "h w"]:
        """Find the pixels of a label.

        Args:
            label: Any word.
            size: The size of the image.

        Returns:
            A boolean array, all False where the grid does not have the label.
        """
        number = self.labels.index(label) if label in self.labels else -1
        return np.asarray(self.label_map(size) == number)

    def things(self, size: Size) -> list[tuple[str, Bool[np.ndarray, "h w"]]]:
        """Take the grid apart.

        Args:
            size: The size of the image.

        Returns:
            Each label but the background with its pixels.
        """
        return [(label, self.mask(label, size)) for label in self.labels if label != OTHERS]

    def rows_of_labels(self) -> list[list[str]]:
        """Get the words of the cells.

        Returns:
            A list of words for each row.
        """
        return [[self.labels[cell] for cell in row] for row in self.cells.tolist()]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DescriptorGrid):
            return NotImplemented
        return self.labels == other.labels and np.array_equal(self.cells, other.cells)

    def __hash__(self) -> int:
        return hash((self.labels, self.cells.shape, self.cells.tobytes()))

    def __reduce__(self) -> tuple[object, ...]:
        # A frozen dataclass with slots would otherwise be restored without its read-only flag.
        return type(self), (self.labels, np.array(self.cells))


def _canonical(
    labels: tuple[str, ...], cells: Int[np.ndarray, "rows cols"]
) -> tuple[tuple[str, ...], Int[np.ndarray, "rows cols"]]:
    used, first = np.unique(cells, return_index=True)
    names = {OTHERS: 0}
    renumber = np.zeros(len(labels), dtype=np.int32)
    for old in used[np.argsort(first)].tolist():
        if labels[old] != OTHERS:
            check_label(labels[old])
        renumber[old] = names.setdefault(labels[old], len(names))
    return tuple(names), renumber[cells]
