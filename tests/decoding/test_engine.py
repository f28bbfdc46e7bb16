"""The engine writes what plain greedy decoding writes, in fewer passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding.conftest import random_grids
from tests.reference.decoding import decode_one, mask_grammar
from tests.reference.hf_step import HfStep
from tests.reference.plain import PlainGrammar, generate, write
from tests.reference.toy import CacheOf, Noise, random_llama
from text4seg.codec import get_format
from text4seg.core.errors import UnknownNameError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import (
    UNBOUNDED,
    ContextError,
    DecodingError,
    DraftContext,
    PassCost,
    Vocabulary,
    compile_grammar,
)
from text4seg.decoding.drafters import RowDraft

FORMATS = ("sd", "rle", "rrle")
PROMPT = [5, 77, 30, 41]


# What differs from case to case: the grid's shape, the labels, what merges.
TWINS = [
    pytest.param("sd", GridShape(4, 6), ("dog",), "merging", id="sd"),
    pytest.param("sd", GridShape(3, 5), ("dog", "cat", "dog house"), "merging", id="sd labels"),
    pytest.param("sd", GridShape(1, 1), ("dog",), "wordy", id="sd one cell"),
    pytest.param("sd", GridShape(8, 2), ("cat",), "wordy", id="sd tall"),
    pytest.param("rle", GridShape(5, 9), ("dog",), "merging", id="rle"),
    pytest.param("rle", GridShape(6, 4), ("dog", "cat"), "wordy", id="rle labels"),
    pytest.param("rrle", GridShape(16, 16), ("dog",), "merging", id="rrle"),
    pytest.param("rrle", GridShape(3, 40), ("dog", "cat"), "merging", id="rrle wide"),
    pytest.param("rrle", GridShape(12, 12), ("dog", "dog house"), "wordy", id="rrle labels"),
    pytest.param("rrle", GridShape(4, 12), ("cat",), "bytewise", id="rrle bytes"),
]


@pytest.mark.parametrize(("name", "shape", "labels", "kind"), TWINS)
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_generate_token_for_token(
    name: str,
    shape: GridShape,
    labels: tuple[str, ...],
    kind: str,
    seed: int,
    request: pytest.FixtureRequest,
) -> None:
    vocabulary: Vocabulary = request.getfixturevalue(kind)
    grammar = mask_grammar(name, shape, labels, vocabulary)
    model = random_llama(vocabulary, seed)
    processor = PlainGrammar(vocabulary.matcher_tokenizer, grammar.lark, len(PROMPT))
    plain = generate(model, PROMPT, processor)
    get_format(name).decode(vocabulary.decode(plain).decode(), shape, labels)
    for draft in drafts(name, shape):
        step = HfStep(model, PROMPT)
        decoded = decode_one(step, grammar, draft=draft)
        assert list(decoded.tokens) == plain
        assert decoded.complete
        assert decoded.stats.passes == step.passes
        assert decoded.stats.decisions <= processor.choices
        # A token the mask leaves alone is forced as well, so fewer choices are counted than made.
        if draft == "none":
            assert step.passes == len(plain) - 1


def drafts(name: str, shape: GridShape) -> list[object]:
    """None, forced tokens, rows of a grid that is not known, and of one that is."""
    blind = RowDraft(DraftContext(get_format(name).syntax))
    return ["none", "forced", blind, "row"]


@settings(max_examples=40)
@given(
    st.sampled_from(FORMATS),
    st.integers(0, 40),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 2.5, 4.0, 50.0]),
    st.integers(0, 3),
)
def test_equals_the_plain_loop_on_masks_half_followed(
    merging: Vocabulary, name: str, which: int, seed: int, favour: float, draft: int
) -> None:
    grid = random_grids(41, seed=3)[which]
    shape, labels = grid.shape, grid.labels[1:]
    grammar = mask_grammar(name, shape, labels, merging)
    text = get_format(name).encode(grid).encode()
    noise = Noise(merging, seed, text=text, favour=favour)
    plain = write(noise, PlainGrammar(merging.matcher_tokenizer, grammar.lark, 0))
    step = CacheOf(noise)
    decoded = decode_one(step, grammar, draft=drafts(name, shape)[draft])
    assert list(decoded.tokens) == plain
    assert step.cache == plain[: len(step.cache)]
    assert decoded.stats.passes == step.passes
    assert sum(step.cuts) == decoded.stats.drafted - decoded.stats.accepted


@pytest.mark.parametrize("name", FORMATS)
def test_a_bias_counts_where_there_is_a_choice(wordy: Vocabulary, name: str) -> None:
    shape = GridShape(6, 10)
    grammar = mask_grammar(name, shape, ("dog",), wordy)
    favoured = {wordy.encode(text)[0]: 3.0 for text in (b"dog", b" dog", b"1", b"3")}
    bias = favoured | {wordy.encode(b"\n")[0]: -50.0}
    noise = Noise(wordy, 4)
    plain = write(noise, PlainGrammar(wordy.matcher_tokenizer, grammar.lark, 0, bias))
    assert plain != write(noise, PlainGrammar(wordy.matcher_tokenizer, grammar.lark, 0))
    for given_bias in (bias, lambda token: bias.get(token, 0.0)):
        for draft in drafts(name, shape):
            step = CacheOf(noise)
            decoded = decode_one(step, grammar, draft=draft, bias=given_bias)
            assert list(decoded.tokens) == plain


def test_passes_fall_from_draft_to_draft(wordy: Vocabulary) -> None:
    shape = GridShape(16, 16)
    cells = np.zeros((16, 16), dtype=np.int32)
    cells[4:12, 5:11] = 1
    grid = random_grids(1)[0].build(("others", "dog"), cells)
    passes: dict[str, list[int]] = {}
    for name in ("sd", "rrle"):
        grammar = mask_grammar(name, shape, ("dog",), wordy)
        text = get_format(name).encode(grid).encode()
        noise = Noise(wordy, 0, text=text, favour=50.0)
        for draft in drafts(name, shape):
            step = CacheOf(noise)
            decoded = decode_one(step, grammar, draft=draft, pass_cost=UNBOUNDED)
            assert wordy.decode(decoded.tokens) == text
            passes.setdefault(name, []).append(decoded.stats.passes)
    for counts in passes.values():
        assert counts == sorted(counts, reverse=True)
    # A rectangle has four places where the row above is wrong or missing.
    assert passes["rrle"][-1] <= 8
    assert passes["sd"][-1] <= 8
    assert passes["rrle"][1] < passes["rrle"][0] < passes["sd"][0]


def test_forced_tokens_ride_along(wordy: Vocabulary) -> None:
    shape = GridShape(5, 7)
    grammar = mask_grammar("rrle", shape, ("dog",), wordy)
    step = CacheOf(Noise(wordy, 9))
    stats = decode_one(step, grammar, draft="forced").stats
    # The first choice is made from the prompt's logits, each later one needs a pass.
    assert stats.passes == stats.decisions - 1
    assert stats.forced + stats.decisions == stats.tokens
    assert stats.drafted == stats.accepted == 0
    assert stats.seconds > 0


def test_nothing_is_asked_of_the_model_where_there_is_no_choice(wordy: Vocabulary) -> None:
    grammar = mask_grammar("rrle", GridShape(3, 3), (), wordy)
    step = CacheOf(Noise(wordy, 9))
    decoded = decode_one(step, grammar)
    assert wordy.decode(decoded.tokens) == b"others *3\n others *3\n others *3\n"
    assert step.passes == 0
    assert decoded.decisions == ()
    assert decoded.log_probabilities.tolist() == [0.0] * len(decoded.tokens)


def test_open_labels(merging: Vocabulary) -> None:
    """The model names things itself; the alternatives are most of the vocabulary."""
    grammar = mask_grammar("rrle", GridShape(4, 9), None, merging)
    for seed in range(4):
        noise = Noise(merging, seed, text=b"others *9\n zebra *4| others *5\n", favour=4.0)
        plain = write(noise, PlainGrammar(merging.matcher_tokenizer, grammar.lark, 0), 150)
        step = CacheOf(noise)
        decoded = decode_one(step, grammar, max_tokens=150)
        assert list(decoded.tokens) == plain


def test_decisions_tell_the_shares_of_the_allowed_tokens(wordy: Vocabulary) -> None:
    noise = Noise(wordy, 1)
    step = CacheOf(noise)
    decoded = decode_one(step, mask_grammar("sd", GridShape(2, 3), ("dog",), wordy))
    assert len(decoded.decisions) == decoded.stats.decisions
    assert len(decoded.log_probabilities) == len(decoded.tokens)
    for decision in decoded.decisions:
        logits = noise(decoded.tokens[: decision.index])[decision.tokens].astype(np.float64)
        expected = logits - np.log(np.exp(logits).sum())
        assert decision.log_probabilities == pytest.approx(expected, abs=1e-5)
        chosen = decision.tokens[np.argmax(decision.log_probabilities)]
        assert chosen == decoded.tokens[decision.index]
        assert decoded.log_probabilities[decision.index] == pytest.approx(
            decision.log_probabilities.max()
        )


def test_an_end_may_be_chosen(bytewise: Vocabulary) -> None:
    grammar = compile_grammar('start: "ab" "c"*', bytewise)
    text = b"abccc"
    step = CacheOf(Noise(bytewise, 0, text=text, favour=50.0))
    step.noise.script.append(bytewise.eos)
    decoded = decode_one(step, grammar, draft=Repeat(b"c"))
    assert bytewise.decode(decoded.tokens) == text
    assert decoded.complete
    assert decoded.stats.tokens == 5
    assert decoded.stats.decisions == 3
    assert step.cache == list(text)[: len(step.cache)]


def test_a_limit_stops_and_says_so(merging: Vocabulary) -> None:
    grammar = mask_grammar("sd", GridShape(16, 16), ("dog",), merging)
    for draft in ("none", "row"):
        step = CacheOf(Noise(merging, 0))
        decoded = decode_one(step, grammar, draft=draft, max_tokens=10)
        assert not decoded.complete
        assert len(decoded.tokens) == 10
        assert len(step.cache) <= 10


class Repeat:
    """A drafter that is nearly always wrong."""

    skips_forced = True

    def __init__(self, piece: bytes) -> None:
        self.piece = piece

    def guess(self, text: bytes) -> object:
        while True:
            yield self.piece


@pytest.mark.parametrize("piece", [b"|", b"dog| ", b"\xff", b"others *3\n", b" "])
def test_any_draft_is_harmless(merging: Vocabulary, piece: bytes) -> None:
    if piece == b"\xff":  # no drafter of ours writes broken UTF-8, but a tokenizer may refuse it
        piece = "ß".encode()
    shape = GridShape(5, 6)
    for name in FORMATS:
        grammar = mask_grammar(name, shape, ("dog",), merging)
        tokens = set()
        for draft in ("none", Repeat(piece)):
            step = CacheOf(Noise(merging, 6))
            decoded = decode_one(step, grammar, draft=draft)
            tokens.add(decoded.tokens)
            assert step.cache == list(decoded.tokens)[: len(step.cache)]
        assert len(tokens) == 1


def test_tokens_are_told_after_each_pass(wordy: Vocabulary) -> None:
    shape = GridShape(8, 8)
    grammar = mask_grammar("rrle", shape, ("dog",), wordy)
    for draft in drafts("rrle", shape):
        step = CacheOf(Noise(wordy, 5))
        told: list[int] = []

        def tell(tokens: tuple[int, ...], step: CacheOf = step, told: list[int] = told) -> None:
            assert tokens
            told.extend(tokens)
            assert step.cache == told[: len(step.cache)]

        decoded = decode_one(step, grammar, draft=draft, on_tokens=tell)
        assert told == list(decoded.tokens)


def test_cancelling_leaves_no_draft_in_the_cache(wordy: Vocabulary) -> None:
    shape = GridShape(16, 16)
    text = b"others *16\n others *4| dog *3| others *9\n" + b" others *16\n" * 14
    step = CacheOf(Noise(wordy, 5, text=text, favour=50.0))
    told: list[int] = []

    def tell(tokens: tuple[int, ...]) -> None:
        told.extend(tokens)
        if b"dog" in wordy.decode(told):
            raise KeyboardInterrupt

    grammar = mask_grammar("rrle", shape, ("dog",), wordy)
    with pytest.raises(KeyboardInterrupt):
        decode_one(step, grammar, draft="row", on_tokens=tell)
    assert step.cache == told[: len(step.cache)]
    assert step.cuts


class Broken(CacheOf):
    """A step that goes wrong at its third pass."""

    def __init__(self, noise: Noise, how: str) -> None:
        super().__init__(noise)
        self.how = how

    def __call__(self, tokens: Sequence[int]) -> np.ndarray:
        rows = super().__call__(tokens)
        if self.passes < 3:
            return rows
        if self.how == "nan":
            return rows * np.nan
        if self.how == "-inf":
            return np.full_like(rows, -np.inf)
        return rows[:-1] if self.how == "rows" else rows[:, :20]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        pytest.param("nan", "nan as the best logit", id="not a number"),
        pytest.param("-inf", "-inf as the best logit", id="nothing possible"),
        pytest.param("rows", "rows of logits for", id="a row is missing"),
        pytest.param("columns", "gave 20 logits", id="a smaller vocabulary"),
    ],
)
def test_a_broken_model_is_an_error_and_the_cache_stays_usable(
    wordy: Vocabulary, how: str, message: str
) -> None:
    shape = GridShape(6, 6)
    step = Broken(Noise(wordy, 2), how)
    told: list[int] = []
    grammar = mask_grammar("rrle", shape, ("dog",), wordy)
    with pytest.raises(DecodingError, match=message):
        decode_one(step, grammar, draft="row", on_tokens=told.extend)
    assert step.passes == 3
    assert told == step.cache[: len(told)]


def test_an_unknown_draft_lists_the_known(wordy: Vocabulary) -> None:
    grammar = mask_grammar("sd", GridShape(2, 2), ("dog",), wordy)
    with pytest.raises(UnknownNameError, match="auto, forced, head"):
        decode_one(CacheOf(Noise(wordy, 0)), grammar, draft="rows")


@settings(max_examples=30)
@given(st.integers(0, 5000), st.integers(1, 40), st.integers(1, 30), st.floats(1.0, 100.0))
def test_the_cost_of_passes_changes_the_passes_only(
    merging: Vocabulary, seed: int, longest: int, free: int, slope: float
) -> None:
    shape = GridShape(7, 9)
    grammar = mask_grammar("rrle", shape, ("dog",), merging)
    text = get_format("rrle").encode(random_grids(1, seed)[0]).encode()
    noise = Noise(merging, seed, text=text, favour=3.0)
    expected = decode_one(CacheOf(noise), grammar, draft="none").tokens
    pass_cost = PassCost(max_draft=longest, free=free, slope=slope)
    decoded = decode_one(CacheOf(noise), grammar, pass_cost=pass_cost)
    assert decoded.tokens == expected


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("draft", ["none", "row"])
def test_a_context_that_is_too_small_is_told_with_what_is_needed(
    wordy: Vocabulary, name: str, draft: str
) -> None:
    shape = GridShape(8, 8)
    grammar = mask_grammar(name, shape, ("dog",), wordy)
    noise = Noise(wordy, 3)
    whole = decode_one(CacheOf(noise), grammar, draft="none")
    needed = len(whole.tokens)
    step = CacheOf(noise)
    assert decode_one(step, grammar, draft=draft, max_context=needed).complete
    assert len(step.cache) <= needed
    step = CacheOf(noise)
    with pytest.raises(ContextError, match="room for 9") as caught:
        decode_one(step, grammar, draft=draft, max_context=9)
    assert caught.value.max_context == 9
    assert caught.value.needed > 9
    assert step.cache == list(whole.tokens)[: len(step.cache)], "the cache is left usable"
    assert len(step.cache) <= 9


def test_a_draft_never_overflows_the_context(wordy: Vocabulary) -> None:
    """The draft is cut to the room that is left, though it would go on for long."""
    shape = GridShape(16, 16)
    text = get_format("sd").encode(DescriptorGrid.empty(shape)).encode()
    needed = len(wordy.encode(text))
    step = CacheOf(Noise(wordy, 0, text=text, favour=50.0))
    grammar = mask_grammar("sd", shape, ("dog",), wordy)
    decoded = decode_one(step, grammar, draft="row", pass_cost=UNBOUNDED, max_context=needed)
    assert decoded.complete
    assert decoded.stats.fed <= needed
