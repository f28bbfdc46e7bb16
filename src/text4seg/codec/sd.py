r"""`sd`, full semantic descriptors: `others| others| dog| dog\n others| dog| dog| dog\n`.

Every cell is written out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from text4seg.codec.format import GridFormat, Notation, Salvage
from text4seg.codec.grammar_builder import Grammar, Lit, Ref, Times, label_part, seq
from text4seg.codec.run_text import LAST, NEXT, NEXT_ROW, Words, expect, expect_end
from text4seg.codec.salvage import salvage_rows
from text4seg.codec.syntax import LineSyntax
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import DescriptorGrid, GridShape

_CELL = re.compile(r"[^|\n\r]+")


@dataclass(frozen=True, slots=True)
class SemanticDescriptors(GridFormat):
    """One word for every cell."""

    name: ClassVar[str] = "sd"
    syntax: ClassVar[LineSyntax] = LineSyntax(has_counts=False)

    def encode(self, grid: DescriptorGrid) -> str:
        """Write the one text of a grid."""
        return NEXT_ROW.join(NEXT.join(row) for row in grid.rows_of_labels()) + LAST

    def decode(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> DescriptorGrid:
        """Read exactly what `encode` writes; raises `MaskSyntaxError` for anything else."""
        words = Words(labels)
        cells: list[int] = []
        at = 0
        for row in range(1, shape.rows + 1):
            for col in range(1, shape.cols + 1):
                match = _CELL.match(text, at)
                if match is None:
                    raise MaskSyntaxError(text, at, f"a label for row {row}, column {col}")
                cells.append(words.number(match[0], text, at))
                if col < shape.cols:
                    left = shape.cols - col
                    at = expect(text, match.end(), NEXT, f"{NEXT!r} and {left} more cells")
                else:
                    at = expect(text, match.end(), LAST, f"a line break after row {row}")
            if row < shape.rows:
                at = expect(text, at, " ", f"a space before row {row + 1}")
        expect_end(text, at)
        return words.grid(cells, shape)

    def salvage(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> Salvage[DescriptorGrid]:
        """Read anything; a damaged row never harms another. Never raises, linear in the text."""
        return salvage_rows(self, text, shape, labels, NEXT.join, counted=False)

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """A grammar of what `decode` accepts, each text followed by `tail`.

        Always exact, in every notation.
        """
        cells = Times(seq(Lit(NEXT), Ref("cell")), shape.cols - 1)
        rows = Times(seq(Lit(" "), Ref("row")), shape.rows - 1)
        grammar = Grammar(
            {
                "start": seq(Ref("row"), rows, Lit(tail)),
                "row": seq(Ref("cell"), cells, Lit(LAST)),
                "cell": label_part(labels),
            }
        )
        return grammar.write(notation)


SD = SemanticDescriptors()
