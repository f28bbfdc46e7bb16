"""Drafts: guesses of the text that follows, to be verified by the model in one pass.

A drafter works on bytes and never on tokens: ``guess_tokens`` turns its text into the tokens that
the sampler would choose if the guess were right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding.guesses import BestDraft, GridDraft, HeadDraft, check_shape, grid_to_rows
from text4seg.decoding.rows import guess_rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from text4seg.decoding.grammar import GrammarState
    from text4seg.decoding.vocabulary import Vocabulary


class Drafter(Protocol):
    """Guesses what follows a text. Wrong guesses cost time, never correctness."""

    @property
    def skips_forced(self) -> bool:
        """Whether forced tokens wait for the next pass; if not, every token has its own."""
        ...

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """Pieces of the text after ``text``, the likeliest; may be endless, may be none."""
        ...


class NoDraft:
    """One token a pass, forced or not: what ``generate`` does."""

    skips_forced = False

    def guess(self, text: bytes, /) -> Iterator[bytes]:  # noqa: ARG002 - the protocol's signature
        """Nothing."""
        return iter(())


class ForcedOnly:
    """Forced tokens ride along with the next pass; nothing is guessed."""

    skips_forced = True

    def guess(self, text: bytes, /) -> Iterator[bytes]:  # noqa: ARG002 - the protocol's signature
        """Nothing."""
        return iter(())


class RowDraft:
    """The row above goes on, and so does every row below: masks are tall things.

    Args:
        shape: the grid, if known. ``rle`` text has no rows without it, and the first row of
            ``sd`` text is guessed only to its end.
    """

    skips_forced = True

    def __init__(self, shape: GridShape | None = None) -> None:
        self._shape = (shape.rows, shape.cols) if shape is not None else None

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the current row after the row above, then copies of that row."""
        return guess_rest(text, self._shape)


@dataclass(frozen=True, slots=True, eq=False)
class DraftContext:
    """What a drafter may guess from, beside the text so far.

    Attributes:
        shape: The grid.
        format_name: How the text is written: ``sd``, ``rle`` or ``rrle``.
        label: The label that the text uses beside ``others``.
        previous: The mask of another expression, or of the video frame before; its things are
            taken to be of this label.
        cell_odds: For each cell the log-odds that it is the label's, from a head of the model.

    Raises:
        InputError: A guess has another shape than the grid.
    """

    shape: GridShape
    format_name: str
    label: str
    previous: DescriptorGrid | None = None
    cell_odds: Float[np.ndarray, "rows cols"] | None = None

    def __post_init__(self) -> None:
        if self.previous is not None:
            check_shape("the previous mask", self.shape, self.previous.cells.shape)
        if self.cell_odds is not None:
            check_shape("the cell head's guess", self.shape, np.shape(self.cell_odds))

    def head(self) -> HeadDraft | None:
        """A draft from the cell head, if there is one."""
        if self.cell_odds is None:
            return None
        return HeadDraft(self.shape, np.asarray(self.cell_odds), self.label, self.format_name)

    def previous_rows(self) -> list[list[bytes]] | None:
        """The previous mask in this text's words, if there is one."""
        return None if self.previous is None else grid_to_rows(self.previous, self.label)


DRAFTERS: tuple[str, ...] = ("auto", "forced", "head", "none", "previous", "row")
"""Drafters by name. ``auto`` is the best of what there is to guess from."""


def make_drafter(
    name: str, shape: GridShape | None = None, known: DraftContext | None = None
) -> Drafter:
    """The drafter called ``name``.

    Args:
        name: one of ``DRAFTERS``.
        shape: the grid, if that is known; ``known`` tells it too.
        known: what there is to guess from. ``previous`` copies rows where there is no previous
            mask yet, and so does ``auto`` where there is nothing.

    Raises:
        UnknownNameError: there is none of that name.
        InputError: ``head`` without a cell head to ask.
    """
    check_draft(name)
    if name == "none":
        return NoDraft()
    if name == "forced":
        return ForcedOnly()
    if name == "head":
        head = known.head() if known is not None else None
        if head is None:
            raise InputError(
                "the draft 'head' needs a model with a cell head, and this one has none: "
                "take 'auto' or 'row'"
            )
        return head
    if name == "previous" and known is not None and (rows := known.previous_rows()) is not None:
        return GridDraft(known.shape, rows, known.format_name)
    if name == "auto" and known is not None:
        return BestDraft(known)
    return RowDraft(known.shape if known is not None else shape)


def check_draft(name: str) -> None:
    """Raise `UnknownNameError` unless there is a drafter of that name."""
    if name not in DRAFTERS:
        raise UnknownNameError("draft", name, DRAFTERS)


_HELPING = 512  # tokens of a guess that are looked at first; doubled as long as all of it holds
_CHUNK = 512  # bytes of a guess without line ends that are made tokens at once


def guess_tokens(
    guess: Iterator[bytes],
    state: GrammarState,
    vocabulary: Vocabulary,
    length: int,
    *,
    forcing: bool = False,
) -> list[int]:
    """Up to ``length`` tokens of a guessed text, ending early where it leaves the grammar.

    They are the tokenizer's own. With ``forcing``, which takes longer, tokens that the grammar
    forces are taken as the sampler takes them; only odd tokenizers write these differently.
    """
    more = _tokens_of(guess, vocabulary)
    tokens: list[int] = []
    helping = _HELPING
    while True:
        for some in more:
            tokens += some
            if len(tokens) >= min(helping, length):
                break
        else:
            length = len(tokens)  # that was all of it
        del tokens[length:]
        written = state.follow(tokens, forcing=forcing) if tokens else []
        if written != tokens or len(tokens) == length:
            return written
        helping *= 2


def _tokens_of(guess: Iterator[bytes], vocabulary: Vocabulary) -> Iterator[Sequence[int]]:
    """The tokens of a guess, line by line; where tokens reach across line ends, of many lines."""
    text = b""  # not yet made tokens
    for piece in guess:
        line = vocabulary.encode_line(piece) if piece.endswith(b"\n") else None
        if line is not None and (not text or text.endswith(b"\n")):
            if text:
                yield vocabulary.encode(text)
                text = b""
            yield line
            continue
        text += piece
        if len(text) >= _CHUNK:
            whole = _whole(text)
            yield vocabulary.encode(whole)
            if whole != text:
                return
            text = b""
    if text:
        yield vocabulary.encode(_whole(text))


def _whole(text: bytes) -> bytes:
    """The part of ``text`` that is UTF-8: a tokenizer takes nothing else."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return text[: error.start]
    return text
