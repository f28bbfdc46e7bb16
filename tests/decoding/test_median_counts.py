"""Run lengths at the median of their distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.decoding import decode_one, mask_grammar
from tests.reference.toy import CacheOf, Noise
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS, GridShape
from text4seg.decoding import CompiledGrammar, Vocabulary
from text4seg.decoding.median_counts import MedianCounts


def plainly(
    noise: Noise, grammar: CompiledGrammar, vocabulary: Vocabulary, width: int, bias: float
) -> bytes:
    """The plain twin, one byte a token: at each run all counts are scored one after the other."""
    state, tokens = grammar.start(), []

    def best() -> int:
        allowed = state.allowed()
        logits = noise(tokens)
        logits[ord("o")] += bias  # the background's label
        return int(allowed[np.argmax(logits[allowed])]) if len(allowed) > 1 else allowed[0]

    def share(after: list[int], token: int) -> float:
        place = grammar.start()
        for written in after:
            place.advance(written)
        allowed = place.allowed()
        if token not in allowed:
            return 0.0
        logits = noise(after)[allowed].astype(np.float64)
        return float(np.exp(logits[list(allowed).index(token)]) / np.exp(logits).sum())

    while not state.finished:
        text = bytes(tokens)
        if not text.endswith(b" *"):
            tokens.append(int(best()))
            assert state.advance(tokens[-1])
            continue
        row = text.rpartition(b"\n")[2]
        done = sum(int(run.rpartition(b"*")[2]) for run in row.split(b"|")[:-1])
        left = width - done
        table = np.zeros(left + 1)
        for count in range(1, left + 1):
            path, probability = list(tokens), 1.0
            for byte in b"%d" % count + (b"\n" if count == left else b"|"):
                probability *= share(path, byte)
                path.append(byte)
            table[count] = probability
        assert table.sum() == pytest.approx(1.0)
        label = row.rpartition(b"|")[2].strip(b" ").removesuffix(b" *").decode()
        sign = 1 if label == OTHERS else -1
        floor = 1 / (1 + math.exp(sign * bias))
        reached = table[::-1].cumsum()[::-1]
        count = max(1, int((reached[1:] >= floor - 1e-9).sum()))
        for byte in b"%d" % count:
            tokens.append(byte)
            assert state.advance(byte)
    return bytes(tokens)


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from([5, 9, 16, 23]), st.sampled_from([0.0, -0.8, 1.5]))
def test_equals_scoring_every_count(
    bytewise: Vocabulary, seed: int, width: int, bias: float
) -> None:
    shape = GridShape(2, width)
    grammar = mask_grammar("rrle", shape, ("dog",), bytewise)
    noise = Noise(bytewise, seed)
    expected = plainly(noise, grammar, bytewise, width, bias)
    for draft in ("none", "row"):
        step = CacheOf(noise)
        decoded = decode_one(step, grammar, draft=draft, run_lengths="median", background_bias=bias)
        assert bytewise.decode(decoded.tokens) == expected
        assert step.cache == list(decoded.tokens)[: len(step.cache)]
        assert sum(step.cuts) == decoded.stats.drafted - decoded.stats.accepted


@pytest.mark.parametrize("kind", ["merging", "wordy"])
@pytest.mark.parametrize("name", ["rle", "rrle"])
def test_any_tokenizer_writes_a_text_of_the_grid(
    kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    vocabulary: Vocabulary = request.getfixturevalue(kind)
    shape = GridShape(4, 13)
    grammar = mask_grammar(name, shape, ("dog", "cat"), vocabulary)
    for seed in range(4):
        tokens = set()
        for draft in ("none", "row"):
            step = CacheOf(Noise(vocabulary, seed))
            tokens.add(decode_one(step, grammar, draft=draft, run_lengths="median").tokens)
        get_format(name).decode(vocabulary.decode(tokens.pop()).decode(), shape, ("dog", "cat"))
        assert not tokens, "the draft changes nothing"


class Split(Noise):
    """Three lengths of nearly a fifth each, and the end of the row a little likelier than each."""

    def __call__(self, tokens: list[int]) -> np.ndarray:
        logits = np.zeros(self.size, dtype=np.float32)
        if bytes(tokens).endswith(b"others *") and b"\n" not in bytes(tokens):
            logits[[ord("3"), ord("4"), ord("5"), ord("8")]] = [7.0, 7.0, 7.0, 7.2]
        return logits


def test_a_split_run_no_longer_goes_to_the_end_of_the_row(bytewise: Vocabulary) -> None:
    shape = GridShape(1, 8)
    grammar = mask_grammar("rrle", shape, ("dog",), bytewise)
    texts = {}
    median: dict[str, object] = {"run_lengths": "median"}
    ways = {"likeliest": {}, "median": median, "fewer others": median | {"background_bias": -1.2}}
    for name, options in ways.items():
        step = CacheOf(Split(bytewise, 0, text=b"others *", favour=9.0))
        step.first_logits = 9 * np.eye(257, dtype=np.float32)[ord("o")]
        decoded = decode_one(step, grammar, **options)
        texts[name] = bytewise.decode(decoded.tokens).split(b"|")[0].strip()
    assert texts == {
        "likeliest": b"others *8",
        "median": b"others *5",
        "fewer others": b"others *3",
    }


def test_a_bias_is_a_number() -> None:
    with pytest.raises(InputError, match="finite"):
        MedianCounts(get_format("rrle").syntax, GridShape(2, 8), float("nan"))


def test_formats_without_run_lengths_are_not_affected(wordy: Vocabulary) -> None:
    grammar = mask_grammar("sd", GridShape(3, 4), ("dog",), wordy)
    noise = Noise(wordy, 1)
    median = decode_one(CacheOf(noise), grammar, run_lengths="median")
    assert median.tokens == decode_one(CacheOf(noise), grammar).tokens
