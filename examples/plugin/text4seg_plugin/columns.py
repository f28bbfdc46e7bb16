r"""The format `columns`: as `rrle`, but each line is a column of the grid, from left to right.

`others *2| dog *1\n dog *3\n` is a grid of three rows and two columns. A format is a writer, two
readers, a grammar and a syntax. This one transposes the grid and leaves the rest to `rrle`; its
syntax says that lines are columns, which is all that drafts, streaming and cell probabilities need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from text4seg.codec import GridFormat, LineSyntax, Notation, Salvage, get_format
from text4seg.core.types import DescriptorGrid, GridShape

ROWS = get_format("rrle")


@dataclass(frozen=True, slots=True)
class ColumnRunLength(GridFormat):
    """Runs, column by column."""

    name: ClassVar[str] = "columns"
    syntax: ClassVar[LineSyntax] = LineSyntax(has_counts=True, scope="column")

    def encode(self, grid: DescriptorGrid) -> str:
        """Write the one text of a grid."""
        return ROWS.encode(transpose(grid))

    def decode(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> DescriptorGrid:
        """Read exactly what `encode` writes."""
        return transpose(ROWS.decode(text, GridShape(shape.cols, shape.rows), labels))

    def salvage(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> Salvage[DescriptorGrid]:
        """Read anything; a damaged column never harms another."""
        found = ROWS.salvage(text, GridShape(shape.cols, shape.rows), labels)
        return Salvage(transpose(found.value), found.repairs, found.unparsable)

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """A grammar of what `decode` accepts."""
        return ROWS.grammar(GridShape(shape.cols, shape.rows), labels, notation, tail=tail)


def transpose(grid: DescriptorGrid) -> DescriptorGrid:
    """Rows become columns."""
    return DescriptorGrid.build(grid.labels, grid.cells.T)


COLUMNS = ColumnRunLength()
