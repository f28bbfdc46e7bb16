"""The loop by itself: what it feeds, what it keeps of a draft, what it takes back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.reference.decoding import mask_grammar
from text4seg.core.types import GridShape
from text4seg.decoding import UNBOUNDED, ContextError, DecodingError, DraftContext, Vocabulary
from text4seg.decoding.sampler import Sampler
from text4seg.decoding.speculative import SpeculativeLoop

SHAPE = GridShape(1, 4)


class Guess:
    """A drafter of one text, whatever stands there."""

    skips_forced = True

    def __init__(self, text: bytes) -> None:
        self.text = text

    def guess(self, text: bytes, /) -> Iterator[bytes]:
        if self.text.startswith(text):
            yield self.text[len(text) :]


def row_for(byte: bytes) -> np.ndarray:
    """Logits that favour one byte."""
    row = np.zeros(257, dtype=np.float32)
    row[ord(byte)] = 5.0
    return row


def loop_of(
    bytewise: Vocabulary, guess: bytes, *, max_context: int | None = None
) -> tuple[SpeculativeLoop, Sampler, list[int]]:
    grammar = mask_grammar("sd", SHAPE, ("dog",), bytewise)
    sampler = Sampler(bytewise, grammar.start())
    cuts: list[int] = []
    context = DraftContext(grammar.syntax, SHAPE)
    loop = SpeculativeLoop(
        cuts.append, sampler, Guess(guess), UNBOUNDED,
        max_tokens=100, max_context=max_context, context=context,
    )  # fmt: skip
    return loop, sampler, cuts


def test_a_draft_is_fed_behind_what_is_pending_and_kept_while_it_holds(
    bytewise: Vocabulary,
) -> None:
    loop, sampler, cuts = loop_of(bytewise, b"dog| dog| dog| dog\n")
    assert loop.accept(row_for(b"d")) is None, "nothing is known of what follows"
    assert bytes(sampler.text) == b"dog| ", "forced up to the next choice"
    run = loop.run()
    fed = next(run)
    assert bytes(fed) == b"dog| dog| dog| dog\n"
    # After the first two labels the model says others.
    rows = [row_for(b"d")] * 9 + [row_for(b"o")] * 10
    with pytest.raises(StopIteration) as end:
        run.send(rows)
    assert loop.accept(end.value.value) is None
    assert bytes(sampler.text) == b"dog| dog| others| "
    loop.settle()
    assert cuts == [9]
    assert (loop.count, loop.fed, loop.drafted, loop.accepted) == (1, 19, 14, 5)


def test_a_model_has_to_give_a_row_for_each_token(bytewise: Vocabulary) -> None:
    loop, _, _ = loop_of(bytewise, b"")
    loop.accept(row_for(b"d"))
    run = loop.run()
    fed = next(run)
    with pytest.raises(DecodingError, match=f"4 rows of logits for {len(fed)} tokens"):
        run.send([row_for(b"d")] * 4)


def test_what_does_not_fit_is_told_before_the_pass(bytewise: Vocabulary) -> None:
    loop, _, _ = loop_of(bytewise, b"", max_context=4)
    loop.accept(row_for(b"d"))
    with pytest.raises(ContextError) as caught:
        next(loop.run())
    # The rest is counted by repeating the cell: `dog| dog| dog| dog\n`.
    assert caught.value.needed == 19
