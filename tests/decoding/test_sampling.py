"""Drawing under a grammar: drafts change the passes, never the distribution."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from tests.reference.toy import CacheOf, Noise
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import (
    UNBOUNDED,
    CompiledGrammar,
    DraftContext,
    MedianCounts,
    Sampling,
    Vocabulary,
    compile_mask_grammar,
    decode,
    make_drafter,
)

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
    grammar = compile_mask_grammar(form, SHAPE, ("dog",), bytewise)
    noise = Soft(bytewise, 7)
    masks = [np.reshape(cells, (2, 3)) for cells in product((0, 1), repeat=6)]
    texts = [form.encode(DescriptorGrid.build(("others", "dog"), mask)).encode() for mask in masks]
    expected = np.array([exact(noise, grammar, bytewise, text, temperature) for text in texts])
    assert expected.sum() == pytest.approx(1.0)
    odds = np.where(masks[21], 3.0, -3.0)
    drafter = make_drafter("head", SHAPE, DraftContext(SHAPE, "sd", "dog", cell_odds=odds))
    count, found, accepted = 1000, Counter[bytes](), 0
    for seed in range(count):
        step = CacheOf(noise)
        decoded = decode(
            step, step.first_logits, bytewise, grammar,
            draft=drafter, pass_cost=UNBOUNDED, sampling=Sampling(temperature, seed),
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
    grammar = compile_mask_grammar(get_format(name), shape, ("dog",), wordy)
    texts = set()
    for seed in range(5):
        tokens = set()
        for draft in ("none", "forced", "row"):
            step = CacheOf(Noise(wordy, 3))
            decoded = decode(
                step, step.first_logits, wordy, grammar, draft=draft, sampling=Sampling(1.0, seed)
            )
            tokens.add(decoded.tokens)
        assert len(tokens) == 1
        texts |= tokens
    assert len(texts) > 1


def test_a_cold_draw_is_the_best(wordy: Vocabulary) -> None:
    grammar = compile_mask_grammar(get_format("rrle"), SHAPE, ("dog",), wordy)
    found = []
    for sampling in (None, Sampling(1e-4, 1)):
        step = CacheOf(Noise(wordy, 3))
        decoded = decode(step, step.first_logits, wordy, grammar, sampling=sampling)
        found.append(decoded.tokens)
    assert found[0] == found[1]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(InputError, match="above zero"):
        Sampling(temperature)


def test_a_run_is_drawn_or_taken_at_its_median(wordy: Vocabulary) -> None:
    grammar = compile_mask_grammar(get_format("rrle"), SHAPE, ("dog",), wordy)
    step = CacheOf(Noise(wordy, 3))
    with pytest.raises(InputError, match="not both"):
        decode(
            step, step.first_logits, wordy, grammar,
            sampling=Sampling(), counts=MedianCounts(SHAPE.cols),
        )  # fmt: skip
