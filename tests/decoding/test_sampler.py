"""Drawing under a grammar: drafts change the passes, never the distribution."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from tests.reference.decoding import decode_one, mask_grammar
from tests.reference.toy import CacheOf, Noise
from text4seg.codec import get_format
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import UNBOUNDED, CompiledGrammar, DraftContext, Vocabulary, compile_grammar
from text4seg.decoding.sampler import LISTED_ALTERNATIVES, Sampler, background_bias

SHAPE = GridShape(2, 3)


class Soft(Noise):
    """Noise that is asked for the same places again and again."""

    def __init__(self, vocabulary: Vocabulary, seed: int) -> None:
        super().__init__(vocabulary, seed)
        self.known: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(self, tokens: list[int]) -> np.ndarray:
        key = tuple(tokens)
        if key not in self.known:
            self.known[key] = super().__call__(tokens)
        return self.known[key]


def exact(
    noise: Noise, grammar: CompiledGrammar, vocabulary: Vocabulary, text: bytes, temperature: float
) -> float:
    """The probability of a text, from the logits along it; one byte, one token."""
    state, tokens, probability = grammar.start(), list(text), 1.0
    for place, token in enumerate(tokens):
        allowed = state.allowed()
        if len(allowed) > 1:
            logits = noise(tokens[:place])[allowed].astype(np.float64) / temperature
            shares = np.exp(logits - logits.max())
            probability *= float(shares[list(allowed).index(token)] / shares.sum())
        assert state.advance(token)
    return probability


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_texts_come_as_often_as_they_are_probable(bytewise: Vocabulary, temperature: float) -> None:
    """All 64 masks of two rows of three cells, against their exact probabilities."""
    form = get_format("sd")
    grammar = mask_grammar("sd", SHAPE, ("dog",), bytewise)
    noise = Soft(bytewise, 7)
    masks = [np.reshape(cells, (2, 3)) for cells in product((0, 1), repeat=6)]
    texts = [form.encode(DescriptorGrid.build(("others", "dog"), mask)).encode() for mask in masks]
    expected = np.array([exact(noise, grammar, bytewise, text, temperature) for text in texts])
    assert expected.sum() == pytest.approx(1.0)
    odds = np.where(masks[21], 3.0, -3.0)
    context = DraftContext(form.syntax, SHAPE, "dog", cell_log_odds=odds)
    count, found, accepted = 1000, Counter[bytes](), 0
    for seed in range(count):
        decoded = decode_one(
            CacheOf(noise), grammar, context=context, pass_cost=UNBOUNDED,
            draft="head", temperature=temperature, seed=seed,
        )  # fmt: skip
        found[bytewise.decode(decoded.tokens)] += 1
        accepted += decoded.stats.accepted
    assert accepted > count, "the draft is verified, or nothing was tested"
    drawn = np.array([found[text] for text in texts])
    assert drawn.sum() == count
    # Chi-square over 64 masks, rare ones together: five standard deviations of room.
    rare = expected * count < 5
    bins = [*zip(drawn[~rare], expected[~rare] * count, strict=True)]
    bins.append((drawn[rare].sum(), expected[rare].sum() * count + 1e-9))
    chi = sum((seen - wanted) ** 2 / wanted for seen, wanted in bins if wanted > 1)
    assert chi < len(bins) + 5 * np.sqrt(2 * len(bins))


@pytest.mark.parametrize("name", ["sd", "rrle"])
def test_a_seed_writes_one_text_whatever_the_draft(wordy: Vocabulary, name: str) -> None:
    shape = GridShape(5, 7)
    grammar = mask_grammar(name, shape, ("dog",), wordy)
    texts = set()
    for seed in range(5):
        tokens = set()
        for draft in ("none", "forced", "row"):
            step = CacheOf(Noise(wordy, 3))
            decoded = decode_one(step, grammar, draft=draft, temperature=1.0, seed=seed)
            tokens.add(decoded.tokens)
        assert len(tokens) == 1
        texts |= tokens
    assert len(texts) > 1


def test_a_cold_draw_is_the_best(wordy: Vocabulary) -> None:
    grammar = mask_grammar("rrle", SHAPE, ("dog",), wordy)
    best, cold = (
        decode_one(CacheOf(Noise(wordy, 3)), grammar, temperature=temperature, seed=1)
        for temperature in (None, 1e-4)
    )
    assert best.tokens == cold.tokens


def test_the_background_is_biased_at_its_first_token(wordy: Vocabulary) -> None:
    bias = background_bias(wordy, -2.0)
    assert bias == {wordy.encode(text)[0]: -2.0 for text in (b"others", b" others")}
    two = background_bias(wordy, 1.0, words=("dog", "cat"))
    assert {wordy.tokens[token] for token in two} >= {b"dog", b" dog"}


def test_a_token_is_written_once_with_its_share(bytewise: Vocabulary) -> None:
    sampler = Sampler(bytewise, mask_grammar("sd", SHAPE, ("dog",), bytewise).start())
    row = np.zeros(257, dtype=np.float32)
    row[ord("d")] = 1.0
    assert sampler.write(row) == ord("d")
    assert sampler.write(None) == ord("o"), "forced: no logits are needed"
    assert (bytes(sampler.text), sampler.tokens) == (b"do", [ord("d"), ord("o")])
    share = 1 / (1 + np.exp(-1))
    assert np.exp(sampler.log_probabilities) == pytest.approx([share, 1.0])
    (decision,) = sampler.decisions
    assert (decision.index, decision.tokens.tolist()) == (0, [ord("d"), ord("o")])


def test_only_the_likeliest_of_many_alternatives_are_listed(bytewise: Vocabulary) -> None:
    tokens = [*bytewise.tokens[:256], *(b"%05d" % at for at in range(3000)), b""]
    vocabulary = Vocabulary(tokens, len(tokens) - 1, list)
    sampler = Sampler(vocabulary, compile_grammar("start: /[0-9]{5}x/", vocabulary).start())
    row = np.arange(len(tokens), dtype=np.float32) / 100
    sampler.write(row)
    (decision,) = sampler.decisions
    assert len(decision.tokens) == LISTED_ALTERNATIVES
    assert decision.tokens.tolist() == sorted(decision.tokens.tolist())
    assert decision.tokens[-1] == len(tokens) - 2
    assert np.exp(decision.log_probabilities).sum() < 1
