"""Drafts: guesses of the text that follows, to be verified by the model in one pass.

A drafter works on bytes and never on tokens: ``guess_tokens`` turns its text into the tokens that
the writer would choose if the guess were right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from text4seg.core.errors import UnknownNameError
from text4seg.decoding.rows import guess_rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from text4seg.core.types import GridShape
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


DRAFTERS: dict[str, Callable[[GridShape | None], Drafter]] = {
    "none": lambda _shape: NoDraft(),
    "forced": lambda _shape: ForcedOnly(),
    "row": RowDraft,
}
"""Drafters by name: each made for a grid, or for one not known."""


def make_drafter(name: str, shape: GridShape | None = None) -> Drafter:
    """The drafter called ``name``, for a grid of ``shape`` if that is known.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in DRAFTERS:
        raise UnknownNameError("draft", name, sorted(DRAFTERS))
    return DRAFTERS[name](shape)


_HELPING = 512  # bytes of a guess that are looked at first; doubled as long as all of it holds


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
    forces are taken as the writer takes them; only odd tokenizers write these differently.
    """
    tokens: list[int] = []
    helping = min(_HELPING, 4 * length)
    text = _take(guess, helping)
    state = state.copy() if text else state
    while text and len(tokens) < length:
        own = vocabulary.encode(_whole(text))[: length - len(tokens)]
        written = state.follow(own, forcing=forcing)
        tokens += written
        used = vocabulary.decode(written)
        if not written or not text.startswith(used):
            break
        text = text[len(used) :]
        helping *= 2
        text += _take(guess, helping - len(text))
    return tokens


def _whole(text: bytes) -> bytes:
    """The part of ``text`` that is UTF-8: a tokenizer takes nothing else."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return text[: error.start]
    return text


def _take(guess: Iterator[bytes], size: int) -> bytes:
    """At least ``size`` bytes, if the guess goes on that long."""
    pieces: list[bytes] = []
    taken = 0
    while taken < size and (piece := next(guess, None)) is not None:
        pieces.append(piece)
        taken += len(piece)
    return b"".join(pieces)
