"""`rle`, image-wise run length: `others *2| dog *2| others *1| dog *3`.

Runs go on over the ends of rows, and neighbours differ over the whole image. No line breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from text4seg.codec.format import GridFormat, Notation, Salvage
from text4seg.codec.grammar_builder import Grammar, Lit, add_runs
from text4seg.codec.run_text import Words, expect_end, read_runs, runs_of
from text4seg.codec.salvage import salvage_cells
from text4seg.codec.syntax import LineSyntax
from text4seg.core.types import DescriptorGrid, GridShape


@dataclass(frozen=True, slots=True)
class ImageRunLength(GridFormat):
    """Runs over the whole image, row by row."""

    name: ClassVar[str] = "rle"
    syntax: ClassVar[LineSyntax] = LineSyntax(has_counts=True, scope="image")

    def encode(self, grid: DescriptorGrid) -> str:
        """Write the one text of a grid."""
        return runs_of(chain.from_iterable(grid.rows_of_labels()))

    def decode(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> DescriptorGrid:
        """Read exactly what `encode` writes; raises `MaskSyntaxError` for anything else."""
        words = Words(labels)
        cells, at = read_runs(text, 0, shape.cells, words)
        expect_end(text, at)
        return words.grid(cells, shape)

    def salvage(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> Salvage[DescriptorGrid]:
        """Read anything; never raises, linear in the text.

        A wrong count shifts all that follows: this format has no rows to hold on to.
        """
        return salvage_cells(self, text, shape, labels)

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """A grammar of what `decode` accepts, each text followed by `tail`.

        Exact for few labels on small grids (4 at 16x16); otherwise neighbouring runs may repeat
        a label, and above about 1,100 cells, or as `regex` above a few, it raises `GrammarError`.
        """
        grammar = Grammar({"start": Lit("")})
        grammar.rules["start"] = add_runs(grammar, labels, shape.cells, tail)
        return grammar.write(notation)


RLE = ImageRunLength()
