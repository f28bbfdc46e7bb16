"""The interface of a text format of masks, and the report of its salvaging reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from jaxtyping import Bool

from text4seg.core.coverage import Rule
from text4seg.core.geometry import mask_to_grid, masks_to_grid
from text4seg.core.types import DescriptorGrid, GridShape

if TYPE_CHECKING:
    from text4seg.codec.syntax import Syntax

Notation = Literal["lark", "gbnf", "ebnf", "regex"]
NOTATIONS: tuple[Notation, ...] = ("lark", "gbnf", "ebnf", "regex")

Value = TypeVar("Value")
Mask = tuple[str, Bool[np.ndarray, "h w"]]
"""A label and its pixels."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that `salvage` had to repair.

    Attributes:
        row: The row, counted from 0; None for the text as a whole.
        what: What was repaired.
    """

    row: int | None
    what: str

    def __str__(self) -> str:
        where = "text" if self.row is None else f"row {self.row + 1}"
        return f"{where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Salvage(Generic[Value]):
    """What a salvaging reader made of a text.

    Attributes:
        value: The best reading.
        repairs: What was repaired; empty for valid text.
        unparsable: Nothing of the text could be read: the value is that of an empty text.
    """

    value: Value
    repairs: tuple[Repair, ...]
    unparsable: bool = False


class Format(Protocol[Value]):
    """A text format of masks: writer, strict reader, salvaging reader, grammar and syntax.

    The value of a format is what its text holds: a `DescriptorGrid` over the image, or `Regions`
    (boxes with a grid each). `decode(encode(value)) == value`, and `grammar` accepts exactly what
    `decode` accepts.

    In all methods, `labels` are the names that may occur beside `others`; None allows every legal
    label. They raise `LabelError` for names that no text can carry.

    Attributes:
        name: The format's name in `FORMATS`.
        syntax: How the text lays out cells; used by decoding, drafting and streaming.
    """

    name: ClassVar[str]
    syntax: ClassVar[Syntax]

    def encode(self, value: Value) -> str:
        """Write a value.

        Args:
            value: What the text is to hold.

        Returns:
            The one text of that value.
        """
        ...

    def decode(self, text: str, shape: GridShape, labels: Sequence[str] | None = None) -> Value:
        """Read a text strictly.

        Args:
            text: Exactly what `encode` writes.
            shape: The grid (of `box`: the grid inside each box).
            labels: The names that may occur.

        Returns:
            The value.

        Raises:
            MaskSyntaxError: The text is anything else; the error names the place.
        """
        ...

    def salvage(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> Salvage[Value]:
        """Read any text as well as it can be read, in time linear in the text; never raises.

        Args:
            text: Whatever a model wrote.
            shape: The grid.
            labels: The names that may occur; similar words are read as them.

        Returns:
            The best reading and what was repaired.
        """
        ...

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """Describe what `decode` accepts as a grammar.

        Args:
            shape: The grid.
            labels: The names that may occur.
            notation: One of `NOTATIONS`: llguidance (lark), llama.cpp (gbnf), xgrammar (ebnf) or
                a regular expression.
            tail: Text that follows the mask.

        Returns:
            The grammar; its start rule is the whole text.

        Raises:
            GrammarError: The notation cannot hold it.
        """
        ...

    def from_masks(self, masks: Sequence[Mask], shape: GridShape, rule: Rule = "coverage") -> Value:
        """Make a value of labelled masks of one image.

        Args:
            masks: Labels with their pixels, all of one size; empty masks are left out.
            shape: The grid.
            rule: How much of a cell has to be covered: see `text4seg.core.geometry`.

        Returns:
            The value that `encode` takes.
        """
        ...

    def to_grid(self, value: Value) -> DescriptorGrid:
        """The cells of a value as one grid over the image.

        Args:
            value: What the text holds.

        Returns:
            The grid.
        """
        ...


class GridFormat(Format[DescriptorGrid], Protocol):
    """What all formats whose value is a grid over the image share."""

    def from_masks(
        self, masks: Sequence[Mask], shape: GridShape, rule: Rule = "coverage"
    ) -> DescriptorGrid:
        """One mask by `mask_to_grid`, several by `masks_to_grid`; none is an empty grid.

        Args:
            masks: Pairs of a label and its mask; masks of one label are united.
            shape: The grid.
            rule: When a cell has a label.

        Returns:
            The grid.
        """
        if not masks:
            return DescriptorGrid.empty(shape)
        if len(masks) == 1:
            label, mask = masks[0]
            return mask_to_grid(mask, label, shape, rule)
        merged: dict[str, Bool[np.ndarray, "h w"]] = {}
        for label, mask in masks:
            merged[label] = (merged[label] | mask) if label in merged else mask
        return masks_to_grid(merged, shape, rule=rule)

    def to_grid(self, value: DescriptorGrid) -> DescriptorGrid:
        """The value itself.

        Args:
            value: A grid.

        Returns:
            The same grid.
        """
        return value
