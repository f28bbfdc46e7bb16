"""Drafters: guesses of the text that follows, which the model verifies in one forward pass.

A drafter works on bytes, never on tokens: `guess_tokens` turns its text into the tokens that the
sampler would choose if the guess were right (speculative decoding, Leviathan et al. 2023,
arXiv:2211.17192, with a drafter that is certain of its guess).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float

from text4seg.core.errors import InputError
from text4seg.core.registry import Registry
from text4seg.core.types import DescriptorGrid, GridShape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text4seg.codec import Syntax
    from text4seg.decoding.compiled_grammar import GrammarState
    from text4seg.decoding.vocabulary import Vocabulary


class Drafter(Protocol):
    """Guesses what follows a text. A wrong guess costs time, never correctness.

    Attributes:
        skips_forced: Whether forced tokens wait for the next pass; if not, every token has a pass
            of its own.
    """

    @property
    def skips_forced(self) -> bool:
        """Whether forced tokens wait for the next pass."""
        ...

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """Guess the rest of a text.

        Args:
            text: The mask text so far.

        Returns:
            Pieces of what follows; may be endless, may be none.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DraftContext:
    """What a drafter may guess from, besides the text so far.

    Attributes:
        syntax: The syntax of the text's format; None: nothing is known of the text.
        shape: The grid, if it is known.
        label: The label that the text uses besides `others`.
        previous: The mask of another expression, or of the previous video frame; its foreground
            is taken to be of this label.
        cell_log_odds: For each cell, the log-odds that it carries the label, from a head of the
            model.

    Raises:
        InputError: A guess has another shape than the grid.
    """

    syntax: Syntax | None = None
    shape: GridShape | None = None
    label: str = ""
    previous: DescriptorGrid | None = None
    cell_log_odds: Float[np.ndarray, "rows cols"] | None = None

    def __post_init__(self) -> None:
        # Without a grid nothing is guessed from cells, so there is nothing to check.
        if self.shape is None:
            return
        if self.previous is not None:
            check_shape("the previous mask", self.shape, self.previous.cells.shape)
        if self.cell_log_odds is not None:
            check_shape("the cell head's guess", self.shape, np.shape(self.cell_log_odds))


class NoDraft:
    """Feeds one token a pass, forced or not, as `generate` does."""

    # `generate` feeds forced tokens one by one, too; benchmarks compare with that.
    skips_forced = False

    def guess(self, text: bytes, /) -> Iterator[bytes]:  # noqa: ARG002 - the protocol's signature
        """Nothing."""
        return iter(())


class ForcedDraft:
    """Feeds forced tokens with the next pass; guesses nothing."""

    skips_forced = True

    def guess(self, text: bytes, /) -> Iterator[bytes]:  # noqa: ARG002 - the protocol's signature
        """Nothing."""
        return iter(())


class RowDraft:
    """Guesses that every line is like the one above it: most masks are tall things.

    Args:
        context: Its `syntax` and `shape` are used. Without a syntax nothing is guessed.
    """

    skips_forced = True

    def __init__(self, context: DraftContext) -> None:
        self._syntax, self._shape = context.syntax, context.shape

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        """The rest of the current line after the line above, then copies of that line."""
        return iter(()) if self._syntax is None else self._syntax.repeat_lines(text, self._shape)


MakeDrafter = Callable[[DraftContext], Drafter]

DRAFTERS: Registry[MakeDrafter] = Registry(
    "draft",
    "text4seg.drafters",
    {
        "auto": "text4seg.decoding.grid_drafters:auto_draft",
        "forced": "text4seg.decoding.drafters:forced_draft",
        "head": "text4seg.decoding.grid_drafters:head_draft",
        "none": "text4seg.decoding.drafters:no_draft",
        "previous": "text4seg.decoding.grid_drafters:previous_draft",
        "row": "text4seg.decoding.drafters:RowDraft",
    },
)
"""Functions from a `DraftContext` to a drafter, by name; packages add theirs as entry points."""


def no_draft(context: DraftContext) -> Drafter:  # noqa: ARG001 - the registry's signature
    """One token a pass, forced or not, as `generate` does."""
    return NoDraft()


def forced_draft(context: DraftContext) -> Drafter:  # noqa: ARG001 - the registry's signature
    """Forced tokens are fed with the next pass; nothing is guessed."""
    return ForcedDraft()


def make_drafter(draft: str | Drafter, context: DraftContext) -> Drafter:
    """Make a drafter for one text.

    Args:
        draft: A name in `DRAFTERS`; a drafter is returned as it is.
        context: What there is to guess from.

    Returns:
        The drafter.

    Raises:
        UnknownNameError: There is no drafter of that name.
        InputError: The drafter needs something that the context lacks, such as a cell head.
    """
    # Tests and servers pass drafters of their own.
    return DRAFTERS[draft](context) if isinstance(draft, str) else draft


def check_shape(what: str, shape: GridShape, found: tuple[int, ...]) -> None:
    """Raise `InputError` unless a guess has the grid's shape."""
    if tuple(found) != (shape.rows, shape.cols):
        size = "x".join(map(str, found))
        raise InputError(f"{what} is {size} cells, and the grid is {shape}")


_BATCH = 512  # tokens of a guess that are verified first; doubled as long as all of them hold
_CHUNK = 512  # bytes of a guess without line ends that are tokenized at once


def guess_tokens(
    guess: Iterator[bytes],
    state: GrammarState,
    vocabulary: Vocabulary,
    length: int,
    *,
    forcing: bool = False,
) -> list[int]:
    """Tokenize a guessed text as far as the grammar allows it.

    Args:
        guess: Pieces of text, from a drafter.
        state: Where the text stands in its grammar; it is not changed.
        vocabulary: The tokenizer.
        length: How many tokens at most.
        forcing: Take tokens that the grammar forces as the sampler takes them. This is slower and
            matters only for tokenizers that would write these tokens differently.

    Returns:
        Token ids; fewer than `length` where the guess ends or leaves the grammar.
    """
    more = _tokenize(guess, vocabulary)
    # Verify in growing batches: most guesses leave the grammar early or not at all.
    tokens: list[int] = []
    wanted = _BATCH
    while True:
        for some in more:
            tokens += some
            if len(tokens) >= min(wanted, length):
                break
        else:
            length = len(tokens)  # the guess is over
        del tokens[length:]
        allowed = state.follow(tokens, forcing=forcing) if tokens else []
        if allowed != tokens or len(tokens) == length:
            return allowed
        wanted *= 2


def _tokenize(guess: Iterator[bytes], vocabulary: Vocabulary) -> Iterator[Sequence[int]]:
    """The tokens of a guess, line by line; of many lines where tokens reach across line ends."""
    text = b""  # not yet tokenized
    for piece in guess:
        # Lines are tokenized from a cache, because drafts repeat them.
        line = vocabulary.encode_line(piece) if piece.endswith(b"\n") else None
        if line is not None and (not text or text.endswith(b"\n")):
            if text:
                yield vocabulary.encode(text)
                text = b""
            yield line
            continue
        # Without line ends, tokenize in chunks: a guess may be endless.
        text += piece
        if len(text) >= _CHUNK:
            whole = _decodable(text)
            yield vocabulary.encode(whole)
            if whole != text:
                return
            text = b""
    if text:
        yield vocabulary.encode(_decodable(text))


def _decodable(text: bytes) -> bytes:
    """The part of `text` that is UTF-8: a tokenizer takes nothing else."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return text[: error.start]
    return text
