"""Guessed text as tokens."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import pytest

from text4seg.codec import get_format
from text4seg.core.errors import UnknownNameError
from text4seg.core.types import GridShape
from text4seg.decoding import DRAFTERS, Vocabulary, compile_grammar, make_drafter
from text4seg.decoding.drafts import guess_tokens

SHAPE = GridShape(6, 8)
TEXT = b"others *8\n" + b" others *2| dog *6\n" * 5


def tokens_for(
    vocabulary: Vocabulary,
    guess: Iterator[bytes],
    length: int,
    written: bytes = b"",
    *,
    forcing: bool = False,
) -> bytes:
    lark = get_format("rrle").grammar(SHAPE, ("dog",))
    state = compile_grammar(lark, vocabulary).start()
    for token in vocabulary.encode(written):
        assert state.advance(token)
    before = state.allowed().tolist()
    tokens = guess_tokens(guess, state, vocabulary, length, forcing=forcing)
    assert state.allowed().tolist() == before  # the place itself has not moved
    assert len(tokens) <= length
    return vocabulary.decode(tokens)


@pytest.mark.parametrize("kind", ["wordy", "merging", "bytewise"])
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("forcing", [False, True])
def test_a_right_guess_becomes_all_tokens(
    kind: str, size: int, forcing: bool, request: pytest.FixtureRequest
) -> None:
    """However it is cut in pieces, and also where forced tokens are not the tokenizer's."""
    vocabulary: Vocabulary = request.getfixturevalue(kind)
    pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert tokens_for(vocabulary, iter(pieces), 1000, forcing=forcing) == TEXT


def test_a_guess_is_cut_to_length(wordy: Vocabulary) -> None:
    assert tokens_for(wordy, iter([TEXT]), 3) == b"others *8"
    assert tokens_for(wordy, iter([]), 3) == b""


def test_an_endless_guess_ends_with_the_grammar(wordy: Vocabulary) -> None:
    guess = repeat(b" others *8\n")
    assert tokens_for(wordy, guess, 10_000, b"others *8\n") == b" others *8\n" * 5


@pytest.mark.parametrize(
    ("guess", "kept"),
    [
        pytest.param(b"others *9\n", b"others *", id="a count too large"),
        pytest.param(b"cat *8\n", b"", id="an unknown label"),
        pytest.param(b"others *2| others *6\n", b"others *2|", id="a label twice"),
        pytest.param(b"others *\xff", b"others *", id="no UTF-8"),
        pytest.param(b"\xff", b"", id="nothing but"),
    ],
)
def test_a_guess_ends_where_it_leaves_the_grammar(
    wordy: Vocabulary, guess: bytes, kept: bytes
) -> None:
    got = tokens_for(wordy, iter([guess]), 100)
    assert got == kept
    # What is forced there is taken in its place, if asked for.
    forced = tokens_for(wordy, iter([guess]), 100, forcing=True)
    assert forced == (b"others *2| dog *" if b"|" in guess else got)


def test_drafters_go_by_name() -> None:
    for name in DRAFTERS:
        drafter = make_drafter(name, SHAPE)
        assert drafter.skips_forced == (name != "none")
        assert (next(drafter.guess(TEXT[:30]), None) is not None) == (name == "row")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"forced, none, row.*did you mean 'row'"):
        make_drafter("rwo")
