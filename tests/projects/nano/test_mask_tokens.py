"""Answers to train on are the codec's text, token for token; choices stand where they are made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.nano.mask_tokens import MaskTokenizer, MaskTokens, corrupt_history, draw_shape
from tests.reference.run_lengths import choose_by_hand
from tests.reference.small_nano import LABELS, small_text
from text4seg.codec import get_format
from text4seg.core.types import OTHERS, DescriptorGrid

TEXT = small_text()
WRITER = MaskTokenizer(TEXT)
SEEDS = st.integers(0, 10_000)


def random_mask(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    mask = random.random((16, 16)) < random.random() * 1.2 - 0.1
    if seed % 2:
        mask = np.maximum.accumulate(mask, axis=1)  # long runs
    return mask


def body(mask: np.ndarray, label: str, name: str) -> list[int]:
    grid = DescriptorGrid.build((OTHERS, label), mask.astype(np.int32))
    return TEXT.encode(get_format(name).encode(grid))


def spell(tokens: list[int]) -> str:
    return TEXT.tokenizer.decode(tokens)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from(LABELS))
def test_tokens_are_those_of_the_codecs_text(seed: int, label: str) -> None:
    mask = random_mask(seed)
    assert WRITER.flat(mask, mask, label).tokens == body(mask, label, "sd")
    assert WRITER.runs(mask, mask, label).tokens == body(mask, label, "rrle")


@settings(max_examples=30)
@given(SEEDS, SEEDS, st.sampled_from(LABELS))
def test_flat_text_shows_the_history_and_asks_for_the_truth(
    seed: int, other: int, label: str
) -> None:
    truth, history = random_mask(seed), random_mask(other)
    answer = WRITER.flat(truth, history, label)
    assert answer.tokens == body(history, label, "sd")
    decided = np.flatnonzero(answer.decides)
    assert len(decided) == 256
    words = WRITER.words(label)
    whole = spell(answer.tokens)
    for cell, at in enumerate(decided):
        assert answer.targets[at] == words[bool(truth.flat[cell]), cell == 0][0]
        assert answer.tokens[at] == words[bool(history.flat[cell]), cell == 0][0]
        assert whole[len(spell(answer.tokens[:at])) :].lstrip().startswith((OTHERS, label))
    rest = [i for i in range(len(answer.tokens)) if not answer.decides[i]]
    assert [answer.targets[i] for i in rest] == [answer.tokens[i] for i in rest]


@settings(max_examples=30)
@given(SEEDS, st.sampled_from(LABELS))
def test_runs_decide_first_words_and_counts(seed: int, label: str) -> None:
    truth = random_mask(seed)
    answer = WRITER.runs(truth, truth, label)
    assert answer.tokens == answer.targets == body(truth, label, "rrle")
    starts, counting = True, False
    for token, decides in zip(answer.tokens, answer.decides, strict=True):
        choice = starts or (counting and token in WRITER.digits) or token == WRITER.bar
        assert decides == choice
        starts = token == WRITER.newline
        counting = token == WRITER.star or (counting and token in WRITER.digits)


@settings(max_examples=30)
@given(SEEDS, st.integers(0, 2), st.sampled_from(LABELS))
def test_behind_a_wrong_history_of_runs_the_count_that_brings_it_back_is_asked_for(
    seed: int, kind: int, label: str
) -> None:
    """Whatever is written, each count to learn is the best of what can still be written there."""
    truth, history = random_mask(seed), random_mask(seed + kind)
    history[np.random.default_rng(seed).random(16) < 0.3] ^= True
    answer = WRITER.runs(truth, history, label)
    assert answer.tokens == body(history, label, "rrle")
    words = WRITER.words(label)
    at = iter(zip(answer.tokens, answer.targets, answer.decides, strict=True))
    for row in range(16):
        col = 0
        while col < 16:
            named = bool(history[row, col])
            for place, shown in enumerate(words[named, row == col == 0]):
                token, target, decides = next(at)
                true = words[bool(truth[row, col]), row == col == 0][0]
                assert (token, decides) == (shown, col == place == 0)
                assert target == (true if decides else shown)
            assert next(at) == (WRITER.star, WRITER.star, False)
            wanted = str(choose_by_hand(truth[row].tolist(), col, named=named))
            begun = ""
            while True:
                token, target, decides = next(at)
                ends = token in (WRITER.bar, WRITER.newline)
                length = int(begun or 0)
                if decides:
                    assert wanted.startswith(begun)
                    whole = wanted == begun
                    last = WRITER.newline if col + length == 16 else WRITER.bar
                    assert target == (last if whole else WRITER.digits[int(wanted[len(begun)])])
                else:
                    assert not wanted.startswith(begun) or token == WRITER.newline
                    assert target == token
                if ends:
                    break
                begun += str(WRITER.digits.index(token))
            col += length
    assert next(at, None) is None


@settings(max_examples=20)
@given(SEEDS, st.sampled_from(LABELS))
def test_every_decision_is_among_the_choices(seed: int, label: str) -> None:
    truth, history = random_mask(seed), random_mask(seed + 1)
    choices = WRITER.choices(label)
    words = WRITER.words(label)
    assert choices[:4] == [words[t, f][0] for f in (False, True) for t in (False, True)]
    for answer in (WRITER.flat(truth, history, label), WRITER.runs(truth, history, label)):
        decided = {t for t, d in zip(answer.targets, answer.decides, strict=True) if d}
        assert decided <= set(choices)


def test_what_is_too_long_is_cut_everywhere_alike() -> None:
    answer = MaskTokens([1, 2, 3, 4], [1, 2, 3, 5], [True, False, True, True])
    assert answer.cut(4) is answer
    cut = answer.cut(3)
    assert cut == MaskTokens([1, 2, 3], [1, 2, 3], [True, False, True], whole=False)


def test_a_wrong_history_is_a_mask_and_leaves_the_truth_alone() -> None:
    truth = random_mask(4)
    before = truth.copy()
    guess = np.where(truth, 2.0, -2.0).astype(np.float32)
    kinds = {"right": 0, "emptied above": 0, "wrong": 0}
    for seed in range(200):
        wrong = corrupt_history(truth, guess, np.random.default_rng(seed))
        assert wrong.shape == truth.shape
        assert wrong.dtype == bool
        if np.array_equal(wrong, truth):
            kinds["right"] += 1
        elif not (wrong & ~truth).any():
            kinds["emptied above"] += 1
        else:
            kinds["wrong"] += 1
    assert np.array_equal(truth, before)
    assert min(kinds.values()) > 10, kinds


def test_a_draw_is_its_seeds() -> None:
    truth, guess = random_mask(4), np.zeros((16, 16), dtype=np.float32)
    for seed in range(20):
        a, b = (corrupt_history(truth, guess, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(a, b)
        c, d = (draw_shape(np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(c, d)


def test_made_up_shapes_are_of_many_sizes_and_sometimes_nothing() -> None:
    shares = [draw_shape(np.random.default_rng(seed)).mean() for seed in range(300)]
    assert 0.02 < np.mean([share == 0 for share in shares]) < 0.2
    assert np.mean([0 < share < 0.2 for share in shares]) > 0.1
    assert np.mean([share > 0.4 for share in shares]) > 0.05


@pytest.mark.parametrize("label", LABELS)
def test_the_first_word_has_no_space_and_all_others_have(label: str) -> None:
    words = WRITER.words(label)
    assert spell(words[True, True]) == label
    assert spell(words[True, False]) == f" {label}"
    assert spell(words[False, True]) == OTHERS
    assert spell(words[False, False]) == f" {OTHERS}"
