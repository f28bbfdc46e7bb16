"""Guessed text as tokens."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import pytest

from tests.reference.decoding import mask_grammar
from text4seg.codec import get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import DRAFTERS, DraftContext, Vocabulary, make_drafter
from text4seg.decoding.drafters import NoDraft, guess_tokens

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
    state = mask_grammar("rrle", SHAPE, ("dog",), vocabulary).start()
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


def block(top: int = 1, left: int = 2) -> DescriptorGrid:
    cells = np.zeros((SHAPE.rows, SHAPE.cols), dtype=np.int32)
    cells[top:5, left:6] = 1
    return DescriptorGrid.build(("others", "cat"), cells)


def known(name: str, **guesses: object) -> DraftContext:
    return DraftContext(get_format(name).syntax, SHAPE, "dog", **guesses)  # type: ignore[arg-type]


def test_drafters_go_by_name() -> None:
    odds = np.where(block().select("cat"), 2.0, -2.0)
    for name in DRAFTERS:
        drafter = make_drafter(name, known("rrle", previous=block(), cell_log_odds=odds))
        assert drafter.skips_forced == (name != "none")
        guesses = next(drafter.guess(TEXT[:30]), None) is not None
        assert guesses == (name not in ("none", "forced"))


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"auto, forced.*did you mean 'row'"):
        make_drafter("rwo", DraftContext())


WRONG_SHAPES = [
    pytest.param({"previous": DescriptorGrid.empty(GridShape(6, 9))}, "6x9", id="mask"),
    pytest.param({"cell_log_odds": np.zeros((16, 16))}, "16x16", id="head"),
]


@pytest.mark.parametrize(("guess", "size"), WRONG_SHAPES)
def test_a_guess_of_another_shape_is_refused(guess: dict[str, object], size: str) -> None:
    with pytest.raises(InputError, match=f"{size} cells, and the grid is 6x8"):
        known("sd", **guess)


def test_a_head_is_needed_for_its_draft() -> None:
    for sources in (DraftContext(), known("sd")):
        with pytest.raises(InputError, match="take 'auto' or 'row'"):
            make_drafter("head", sources)


@pytest.mark.parametrize("name", sorted(DRAFTERS))
def test_nothing_is_guessed_in_boxes(name: str) -> None:
    odds = np.zeros((SHAPE.rows, SHAPE.cols))
    drafter = make_drafter(name, known("box", previous=block(), cell_log_odds=odds))
    assert drafter.skips_forced == (name != "none")
    for text in (b"", b"[12-30, 34-61]\n others *8\n"):
        assert next(drafter.guess(text), None) is None


@pytest.mark.parametrize("name", sorted(set(DRAFTERS) - {"head"}))
def test_nothing_is_guessed_in_a_text_without_a_syntax(name: str) -> None:
    assert next(make_drafter(name, DraftContext()).guess(TEXT), None) is None


def test_a_drafter_is_taken_as_it_is() -> None:
    drafter = NoDraft()
    assert make_drafter(drafter, DraftContext()) is drafter


def test_each_drafter_has_a_summary() -> None:
    for name in DRAFTERS:
        assert DRAFTERS.get_summary(name)
