"""Drafts that know more than the text so far: another mask, or what a cell head saw.

Each source guesses whole rows. How well it guessed the rows written so far tells which to believe
for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape
from text4seg.decoding.rows import Cells, follow_image, follow_rows, guess_rest, read_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float64, Int

    from text4seg.decoding.drafts import DraftContext

_THRESHOLDS = np.linspace(-3.0, 3.0, 25)  # log-odds above which a cell is taken for the target's
_FORGETTING = 0.7  # what a row's mistakes still count one row later
_PRIOR = 0.25  # mistakes by which a source has to be better than the one before it in the list


class GridDraft:
    """The rest is as in a grid known beforehand.

    Raises:
        InputError: the grid has another shape.
    """

    skips_forced = True

    def __init__(self, shape: GridShape, rows: Sequence[Cells], format_name: str) -> None:
        check_shape("a draft", shape, (len(rows), len(rows[0])))
        self._rows = [list(row) for row in rows]
        self._format = format_name

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the current row, fitted to what stands there, then the rows below."""
        if self._format == "rle":
            return follow_image(text, [cell for row in self._rows for cell in row])
        return follow_rows(text, self._rows, runs=self._format == "rrle")


class HeadDraft:
    """The rest is as a cell head sees it: the target where its log-odds are above a threshold.

    A language model does not draw the line where its head does. The threshold is the one that
    fits the rows written so far best, the recent ones most.
    """

    skips_forced = True

    def __init__(
        self, shape: GridShape, odds: Float64[np.ndarray, "rows cols"], label: str, format_name: str
    ) -> None:
        check_shape("the cell head", shape, odds.shape)
        self._shape = shape
        self._odds = np.asarray(odds, dtype=np.float64)
        self._labels = (OTHERS.encode(), label.encode())
        self._format = format_name

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the current row, fitted to what stands there, then the rows below."""
        written = read_cells(text, self._shape, self._format, self._labels[1])
        rows = self.rows(written)
        return GridDraft(self._shape, rows, self._format).guess(text)

    def rows(self, written: DraftPrefix) -> list[Cells]:
        """The whole grid, as the head sees it with the threshold that fits what is written."""
        above = self._odds > _THRESHOLDS[np.argmin(self._mistakes(written))]
        return [[self._labels[int(cell)] for cell in row] for row in above.tolist()]

    def mistakes(self, written: DraftPrefix) -> float:
        """Cells that the best threshold has wrong; older rows count less."""
        return float(self._mistakes(written).min())

    def _mistakes(self, written: DraftPrefix) -> Float64[np.ndarray, " thresholds"]:
        seen = self._odds[None] > _THRESHOLDS[:, None, None]
        wrong = (seen != (written.cells == 1)) * written.weight
        counts: Float64[np.ndarray, " thresholds"] = wrong.sum(axis=(1, 2))
        return counts + 1e-3 * np.abs(_THRESHOLDS)


class BestDraft:
    """The better of the sources there are: cell head, previous mask, row above.

    The one that would have made the fewest mistakes in the rows written so far, the recent ones
    counting most, guesses the rest; before anything is written it is the first of this list.
    """

    skips_forced = True

    def __init__(self, known: DraftContext) -> None:
        self._known = known
        self._shape = known.shape
        self._head = known.head()
        self._previous = known.previous_rows()

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the text as the best source has it."""
        known = self._known
        written = read_cells(text, self._shape, known.format_name, known.label.encode())
        sources: list[tuple[float, Iterator[bytes]]] = []
        if self._head is not None:
            sources.append((self._head.mistakes(written), self._head.guess(text)))
        if self._previous is not None:
            rows = GridDraft(self._shape, self._previous, known.format_name)
            target = np.array(
                [[cell == known.label.encode() for cell in row] for row in self._previous]
            )
            sources.append((written.mistakes(target), rows.guess(text)))
        copy = guess_rest(text, (self._shape.rows, self._shape.cols))
        sources.append((written.mistakes(written.copied()), copy))
        costs = [cost + _PRIOR * place for place, (cost, _) in enumerate(sources)]
        return sources[int(np.argmin(costs))][1]


@dataclass(frozen=True, slots=True, eq=False)
class DraftPrefix:
    """The cells of a text so far: 1 the label, 0 anything else, with the weight of each cell.

    Cells that are not written weigh nothing.
    """

    cells: Int[np.ndarray, "rows cols"]
    weight: Float64[np.ndarray, "rows cols"]

    def copied(self) -> Int[np.ndarray, "rows cols"]:
        """Each row as the one above it; the first as background."""
        return np.concatenate([np.zeros_like(self.cells[:1]), self.cells[:-1]])

    def mistakes(self, guess: Int[np.ndarray, "rows cols"]) -> float:
        """The weight of the cells that a guess has wrong."""
        return float(((guess != self.cells) * self.weight).sum())


def read_cells(text: bytes, shape: GridShape, format_name: str, label: bytes) -> DraftPrefix:
    """The settled cells of a text."""
    if format_name == "rle":
        lines = [text.rpartition(b"|")[0]]
    else:
        *lines, last = text.split(b"\n")
        lines.append(last.rpartition(b"|")[0])
    cells = np.zeros(shape.cells, dtype=np.int64)
    weight = np.zeros(shape.cells)
    at = 0
    for line in lines:
        row = read_row(line.removeprefix(b" ")) if line else []
        row = row[: shape.cells - at]
        cells[at : at + len(row)] = [cell == label for cell in row]
        weight[at : at + len(row)] = 1.0
        at += len(row)
    number = max(0, at - 1) // shape.cols
    ages = np.maximum(0, number - np.arange(shape.rows))
    faded = weight.reshape(shape.rows, shape.cols) * (_FORGETTING**ages)[:, None]
    return DraftPrefix(cells.reshape(shape.rows, shape.cols), faded)


def grid_to_rows(grid: DescriptorGrid, label: str | None = None) -> list[Cells]:
    """The words of a grid as bytes; with `label`, every foreground cell carries that one."""
    names = [name if name == OTHERS or label is None else label for name in grid.labels]
    return [[names[cell].encode() for cell in row] for row in grid.cells.tolist()]


def check_shape(what: str, shape: GridShape, found: tuple[int, ...]) -> None:
    """Raise `InputError` unless a guess has the grid's shape."""
    if tuple(found) != (shape.rows, shape.cols):
        size = "x".join(map(str, found))
        raise InputError(f"{what} is {size} cells, and the grid is {shape}")
