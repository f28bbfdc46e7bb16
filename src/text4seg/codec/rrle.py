r"""`rrle`, row-wise run length (R-RLE), the default: `others *2| dog *2\n others *1| dog *3\n`.

Each row is a list of runs that sum to the number of columns; no two neighbours share a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from text4seg.codec.format import GridFormat, Notation, Salvage
from text4seg.codec.grammar_builder import Grammar, Lit, Times, add_runs, seq
from text4seg.codec.run_text import LAST, NEXT_ROW, Words, expect, expect_end, read_runs, runs_of
from text4seg.codec.salvage import salvage_rows
from text4seg.codec.syntax import LineSyntax
from text4seg.core.types import DescriptorGrid, GridShape


@dataclass(frozen=True, slots=True)
class RowRunLength(GridFormat):
    """Runs, row by row."""

    name: ClassVar[str] = "rrle"
    syntax: ClassVar[LineSyntax] = LineSyntax(has_counts=True)

    def encode(self, grid: DescriptorGrid) -> str:
        """Write the one text of a grid."""
        return NEXT_ROW.join(runs_of(row) for row in grid.rows_of_labels()) + LAST

    def decode(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> DescriptorGrid:
        """Read exactly what `encode` writes; raises `MaskSyntaxError` for anything else."""
        words = Words(labels)
        cells: list[int] = []
        at = 0
        for row in range(1, shape.rows + 1):
            if row > 1:
                at = expect(text, at, " ", f"a space before row {row}")
            numbers, at = read_runs(text, at, shape.cols, words)
            cells += numbers
            at = expect(text, at, LAST, f"a line break after the {shape.cols} cells of row {row}")
        expect_end(text, at)
        return words.grid(cells, shape)

    def salvage(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> Salvage[DescriptorGrid]:
        """Read anything; a damaged row never harms another. Never raises, linear in the text."""
        return salvage_rows(self, text, shape, labels, runs_of, counted=True)

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """A grammar of what `decode` accepts, each text followed by `tail`.

        Exact for few labels. With many (above 46 at 16 columns, 18 at 64, 4 at 256) and with open
        labels it lets neighbouring runs repeat a label; `regex` only for a few columns. Raises
        `GrammarError`.
        """
        grammar = Grammar({"start": Lit("")})
        row = add_runs(grammar, labels, shape.cols, LAST)
        rows = Times(seq(Lit(" "), row), shape.rows - 1)
        grammar.rules["start"] = seq(row, rows, Lit(tail))
        return grammar.write(notation)


RRLE = RowRunLength()
