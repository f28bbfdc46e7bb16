"""Drafters that know more than the text so far: another mask, or the guess of a cell head.

Each source guesses whole lines. How well it guessed the lines that are written tells which source
to believe for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape
from text4seg.decoding.drafters import Drafter, ForcedDraft, RowDraft, check_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float64, Int

    from text4seg.codec import Syntax
    from text4seg.decoding.drafters import DraftContext

# Log-odds above which a cell is taken for the target's.
_THRESHOLDS = np.linspace(-3.0, 3.0, 25)
# How much the mistakes of a line still count one line later: objects change slowly.
_FORGETTING = 0.7
# Mistakes by which a source has to be better than the one before it in the list, so that drafts do
# not alternate between sources that are equally good.
_PRIOR = 0.25


class GridDraft:
    """Guesses that the rest is as in a grid that is known beforehand.

    Args:
        syntax: The syntax of the text.
        shape: The grid.
        lines: The label of every cell, in the order of the text.

    Raises:
        InputError: The lines have another shape.
    """

    skips_forced = True

    def __init__(self, syntax: Syntax, shape: GridShape, lines: Sequence[list[bytes]]) -> None:
        check_shape("a draft", syntax.line_shape(shape), (len(lines), len(lines[0])))
        self._syntax, self._shape = syntax, shape
        self._lines = [list(line) for line in lines]

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the current line, fitted to what is written, then the lines below."""
        return self._syntax.complete(text, self._lines, self._shape)


class HeadDraft:
    """Guesses that the rest is as a cell head predicts it.

    A language model does not draw the line where its head does: cells are taken for the target's
    above the threshold that fits the written lines best, the recent ones most.

    Args:
        syntax: The syntax of the text.
        shape: The grid.
        log_odds: For each cell, the log-odds that it carries the label.
        label: The label.
    """

    skips_forced = True

    def __init__(
        self,
        syntax: Syntax,
        shape: GridShape,
        log_odds: Float64[np.ndarray, "rows cols"],
        label: str,
    ) -> None:
        check_shape("the cell head", shape, log_odds.shape)
        self._syntax, self._shape = syntax, shape
        self._odds = syntax.to_lines(np.asarray(log_odds, dtype=np.float64))
        self._labels = (OTHERS.encode(), label.encode())

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the current line, fitted to what is written, then the lines below."""
        written = read_prefix(self._syntax, text, self._shape, self._labels[1])
        return self._syntax.complete(text, self.lines(written), self._shape)

    def lines(self, written: DraftPrefix) -> list[list[bytes]]:
        """The whole grid at the threshold that fits what is written."""
        above = self._odds > _THRESHOLDS[np.argmin(self._mistakes(written))]
        return [[self._labels[int(cell)] for cell in line] for line in above.tolist()]

    def mistakes(self, written: DraftPrefix) -> float:
        """The weighted number of written cells that the best threshold has wrong."""
        return float(self._mistakes(written).min())

    def _mistakes(self, written: DraftPrefix) -> Float64[np.ndarray, " thresholds"]:
        # All thresholds at once: thresholds × lines × cells a line.
        guessed = self._odds[None] > _THRESHOLDS[:, None, None]
        wrong = (guessed != (written.cells == 1)) * written.weight
        counts: Float64[np.ndarray, " thresholds"] = wrong.sum(axis=(1, 2))
        # Of equally good thresholds, the one nearest to zero.
        return counts + 1e-3 * np.abs(_THRESHOLDS)


class BestDraft:
    """Uses the best source there is: the cell head, the previous mask, or the line above.

    The one that would have made the fewest mistakes in the written lines, the recent ones counting
    most, guesses the rest; before anything is written it is the first of this list.

    Args:
        syntax: The syntax of the text; it covers the image.
        shape: The grid.
        context: The sources.
    """

    skips_forced = True

    def __init__(self, syntax: Syntax, shape: GridShape, context: DraftContext) -> None:
        self._syntax, self._shape = syntax, shape
        self._label = context.label.encode()
        self._head = _make_head(syntax, shape, context)
        self._previous = _previous_lines(syntax, context)
        self._rows = RowDraft(context)

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the text as the best source has it."""
        # Each source with its mistakes so far; guesses are lazy, only the best one is computed.
        written = read_prefix(self._syntax, text, self._shape, self._label)
        sources: list[tuple[float, Iterator[bytes]]] = []
        if self._head is not None:
            sources.append((self._head.mistakes(written), self._head.guess(text)))
        if self._previous is not None:
            rest = self._syntax.complete(text, self._previous, self._shape)
            target = np.array([[cell == self._label for cell in line] for line in self._previous])
            sources.append((written.mistakes(target), rest))
        sources.append((written.mistakes(written.copied()), self._rows.guess(text)))
        costs = [cost + _PRIOR * place for place, (cost, _) in enumerate(sources)]
        return sources[int(np.argmin(costs))][1]


@dataclass(frozen=True, slots=True, eq=False)
class DraftPrefix:
    """The cells of a text so far, line by line.

    Attributes:
        cells: 1 for the label, 0 for anything else.
        weight: How much a mistake in each cell counts; 0 for cells that are not written.
    """

    cells: Int[np.ndarray, "lines length"]
    weight: Float64[np.ndarray, "lines length"]

    def copied(self) -> Int[np.ndarray, "lines length"]:
        """Each line as the one above it; the first as background."""
        return np.concatenate([np.zeros_like(self.cells[:1]), self.cells[:-1]])

    def mistakes(self, guess: Int[np.ndarray, "lines length"]) -> float:
        """The weight of the cells that a guess has wrong."""
        return float(((guess != self.cells) * self.weight).sum())


def read_prefix(syntax: Syntax, text: bytes, shape: GridShape, label: bytes) -> DraftPrefix:
    """The settled cells of a text, weighted by how recent their line is."""
    lines = syntax.line_shape(shape)
    written = syntax.settled_cells(text, shape)
    cells = np.zeros(shape.cells, dtype=np.int64)
    cells[: len(written)] = [cell == label for cell in written]
    # Cells that are not written weigh nothing.
    weight = np.zeros(shape.cells)
    weight[: len(written)] = 1.0
    # The line of the last written cell has age 0.
    current = max(0, len(written) - 1) // lines.cols
    ages = np.maximum(0, current - np.arange(lines.rows))
    faded = weight.reshape(lines.rows, lines.cols) * (_FORGETTING**ages)[:, None]
    return DraftPrefix(cells.reshape(lines.rows, lines.cols), faded)


def grid_to_lines(syntax: Syntax, grid: DescriptorGrid, label: str | None) -> list[list[bytes]]:
    """The labels of a grid in the order of the text; with `label`, all foreground carries it."""
    names = [name if name == OTHERS or label is None else label for name in grid.labels]
    return [
        [names[cell].encode() for cell in line] for line in syntax.to_lines(grid.cells).tolist()
    ]


def _make_head(syntax: Syntax, shape: GridShape, context: DraftContext) -> HeadDraft | None:
    if context.cell_log_odds is None:
        return None
    return HeadDraft(syntax, shape, np.asarray(context.cell_log_odds), context.label)


def _previous_lines(syntax: Syntax, context: DraftContext) -> list[list[bytes]] | None:
    if context.previous is None:
        return None
    return grid_to_lines(syntax, context.previous, context.label)


def auto_draft(context: DraftContext) -> Drafter:
    """The best of the cell head, the previous mask and the line above, line by line."""
    syntax, shape = context.syntax, context.shape
    if syntax is None or shape is None:
        return RowDraft(context)
    # A text without cells over the image has nothing to guess from.
    return BestDraft(syntax, shape, context) if syntax.covers_image else ForcedDraft()


def head_draft(context: DraftContext) -> Drafter:
    """What the model's cell head predicts; only for models that have one."""
    syntax, shape = context.syntax, context.shape
    if syntax is not None and not syntax.covers_image:
        return ForcedDraft()
    if context.cell_log_odds is None or syntax is None or shape is None:
        raise InputError(
            "the draft 'head' needs a model with a cell head, and this one has none: "
            "take 'auto' or 'row'"
        )
    return HeadDraft(syntax, shape, np.asarray(context.cell_log_odds), context.label)


def previous_draft(context: DraftContext) -> Drafter:
    """The previous mask, as for the frames of a video; the line above where there is none."""
    syntax, shape = context.syntax, context.shape
    if syntax is None or shape is None or not syntax.covers_image:
        return RowDraft(context)
    lines = _previous_lines(syntax, context)
    return RowDraft(context) if lines is None else GridDraft(syntax, shape, lines)
