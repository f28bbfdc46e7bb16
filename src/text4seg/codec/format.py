"""What every text format of a mask offers, and what its salvaging reader reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from text4seg.core.types import DescriptorGrid, GridShape

Notation = Literal["lark", "gbnf", "ebnf", "regex"]
NOTATIONS: tuple[Notation, ...] = ("lark", "gbnf", "ebnf", "regex")


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that `salvage` had to put right: in `row` (from 0; None = the text as a whole)."""

    row: int | None
    what: str

    def __str__(self) -> str:
        where = "text" if self.row is None else f"row {self.row + 1}"
        return f"{where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Salvage:
    """The best grid that could be read, and what was repaired; no repairs means valid text."""

    grid: DescriptorGrid
    repairs: tuple[Repair, ...]


class Format(Protocol):
    """Writer, strict reader, salvaging reader and grammar of one format.

    `labels` are the names that may occur beside `others`; None allows every legal label.
    They raise `LabelError` for names that no text can carry.
    """

    name: ClassVar[str]
    """The format's name in `FORMATS`."""

    def encode(self, grid: DescriptorGrid) -> str:
        """Write the one text of a grid."""

    def decode(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> DescriptorGrid:
        """Read exactly what `encode` writes; raises `MaskSyntaxError` for anything else."""

    def salvage(self, text: str, shape: GridShape, labels: Sequence[str] | None = None) -> Salvage:
        """Read anything, as well as it can be read, in time linear in the text; never raises."""

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """A grammar of what `decode` accepts, each text followed by `tail`.

        Raises `GrammarError` where the notation cannot hold it.
        """
