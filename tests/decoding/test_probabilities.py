"""Cells from the shares of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.decoding.conftest import random_grids
from tests.reference.decoding import decode_one, mask_grammar
from tests.reference.toy import CacheOf, Noise
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import (
    CompiledGrammar,
    Decision,
    DecodingResult,
    DecodingStats,
    Vocabulary,
    cell_probabilities,
    compile_grammar,
    no_target_probability,
)

Choice = dict[bytes, float]
"""Allowed texts and their shares; the first one was written. One text alone was forced."""


def written(choices: Sequence[Choice]) -> tuple[DecodingResult, Vocabulary]:
    """A decoding as if these choices had been made one after the other."""
    texts = sorted({text for choice in choices for text in choice})
    vocabulary = Vocabulary([*texts, b""], len(texts), lambda text: [texts.index(text)])
    tokens = tuple(texts.index(next(iter(choice))) for choice in choices)
    decisions = tuple(
        Decision(
            index,
            np.array([texts.index(text) for text in choice]),
            np.log(np.array(list(choice.values()), dtype=np.float32)),
        )
        for index, choice in enumerate(choices)
        if len(choice) > 1
    )
    stats = DecodingStats(0, len(tokens), len(tokens) - len(decisions), 0, 0, 0, 0.0)
    log_probabilities = np.zeros(len(tokens), dtype=np.float32)
    return DecodingResult(tokens, log_probabilities, decisions, stats, complete=True), vocabulary


def layout(vocabulary: Vocabulary, name: str, shape: GridShape) -> CompiledGrammar:
    """What is read of a grammar: its vocabulary, format and grid; it cannot be walked."""
    return CompiledGrammar("", vocabulary, None, syntax=get_format(name).syntax, shape=shape)


def dog(choices: Sequence[Choice], shape: GridShape, name: str) -> list[list[float]]:
    """The probability of `dog` in each cell."""
    decoded, vocabulary = written(choices)
    table = cell_probabilities(decoded, layout(vocabulary, name, shape), ("others", "dog"))
    assert table.dtype == np.float32
    assert table.sum(axis=0) == pytest.approx(1.0, abs=1e-6)
    return table[1].round(4).tolist()


def forced(text: bytes) -> Choice:
    return {text: 1.0}


SD = [
    pytest.param(
        [
            {b"dog": 0.7, b"others": 0.3},
            forced(b"| "),
            {b"others": 0.6, b"dog": 0.4},
            forced(b"\n"),
        ],
        [0.7, 0.4],
        id="a token a label",
    ),
    pytest.param(
        [
            {b"d": 0.5, b"dog": 0.2, b"o": 0.1, b"others": 0.2},
            forced(b"og| "),
            {b"oth": 0.9, b"do": 0.1},
            forced(b"ers\n"),
        ],
        [0.7, 0.1],
        id="a token that begins a label counts for it",
    ),
    pytest.param(
        [
            forced(b"dog"),
            {b"|": 0.5, b"| dog": 0.3, b"| others": 0.2},
            {b" dog": 0.9, b" others": 0.1},
            forced(b"\n"),
        ],
        [1.0, 0.3 + 0.5 * 0.9],
        id="the product along what was written",
    ),
    pytest.param(
        [{b"dog| dog": 0.6, b"dog| others": 0.2, b"others|": 0.2}, forced(b"\n")],
        [0.8, 0.75],
        id="a token over two cells, given the first",
    ),
    pytest.param(
        [
            forced(b"dog"),
            {b"| others": 0.6, b"|": 0.1, b"| dog": 0.3},
            forced(b"\n"),
        ],
        [1.0, 1 / 3],
        id="what was left open and not written does not count",
    ),
]


@pytest.mark.parametrize(("choices", "expected"), SD)
def test_flat_text(choices: list[Choice], expected: list[float]) -> None:
    assert dog(choices, GridShape(1, 2), "sd") == [pytest.approx(expected, abs=1e-4)]


def test_flat_text_of_labels_that_begin_alike() -> None:
    decoded, vocabulary = written(
        [
            {b"dog": 0.5, b"others": 0.3, b"cat": 0.2},
            {b" house": 0.6, b"\n": 0.4},
            forced(b"\n"),
        ]
    )
    grammar = layout(vocabulary, "sd", GridShape(1, 1))
    table = cell_probabilities(decoded, grammar, ("others", "dog", "dog house", "cat"))
    assert table.ravel().tolist() == pytest.approx([0.3, 0.2, 0.3, 0.2])


def digits(**shares: float) -> Choice:
    return {text.strip("_").replace("end", "|").encode(): share for text, share in shares.items()}


def test_a_run_reaches_a_cell_by_all_counts_that_are_long_enough() -> None:
    """One digit; the row of 4 begins with others, the share of count n is s[n]."""
    choices = [
        forced(b"others *"),
        digits(_2=0.5, _1=0.2, _3=0.2, _4=0.1),
        forced(b"| dog *2\n"),
    ]
    [row] = dog(choices, GridShape(1, 4), "rrle")
    assert row == pytest.approx([0.0, 0.2, 0.7, 0.9], abs=1e-4)


def test_counts_of_two_digits() -> None:
    """12 was written: after the first digit 1 all is known, the other first digits stand alone."""
    choices = [
        forced(b"others *"),
        digits(_1=0.6, _4=0.3, _9=0.1),
        digits(_2=0.5, _5=0.3, end=0.2),
        forced(b"| dog *4\n"),
    ]
    share = np.zeros(17)
    share[[12, 15, 1]] = 0.6 * np.array([0.5, 0.3, 0.2])
    share[[4, 9]] = [0.3, 0.1]
    [row] = dog(choices, GridShape(1, 16), "rrle")
    ended = [share[: cell + 1].sum() for cell in range(16)]
    assert row == pytest.approx(ended, abs=1e-4)


def test_a_first_digit_not_followed_up_is_spread_evenly() -> None:
    choices = [forced(b"others *"), digits(_7=0.2, _1=0.8), forced(b"| dog *5\n")]
    [row] = dog(choices, GridShape(1, 12), "rrle")
    counts = {7: 0.2, 1: 0.2, 10: 0.2, 11: 0.2, 12: 0.2}
    ended = [sum(share for n, share in counts.items() if n <= cell) for cell in range(12)]
    assert row == pytest.approx(ended, abs=1e-4)


def test_a_count_in_one_token_and_with_what_closes_it() -> None:
    choices = [
        forced(b"others *"),
        {b"12": 0.4, b"1": 0.1, b"14| ": 0.2, b"16\n": 0.3},
        forced(b"| dog *4\n"),
    ]
    [row] = dog(choices, GridShape(1, 16), "rrle")
    # "1" was not written and could be 1, 10 … 16: it goes where the other tokens went.
    assert row[:12] == pytest.approx([0.0] * 12, abs=1e-4)
    assert row[12:14] == pytest.approx([4 / 9] * 2, abs=1e-4)
    assert row[14:] == pytest.approx([6 / 9] * 2, abs=1e-4)


def test_ends_of_runs_are_laid_over_each_other() -> None:
    choices = [
        forced(b"others *"),
        digits(_1=0.5, _2=0.5),
        forced(b"| dog *"),
        digits(_2=0.75, _3=0.25),
        forced(b"| others *1\n"),
    ]
    [row] = dog(choices, GridShape(1, 4), "rrle")
    assert row == pytest.approx([0.0, 0.5, 1.0, 0.25], abs=1e-4)


def test_a_label_not_taken_fades_out() -> None:
    choices = [{b"others": 0.6, b"dog": 0.4}, forced(b" *4\n")]
    [row] = dog(choices, GridShape(1, 4), "rrle")
    assert row == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=1e-4)


def test_runs_of_the_whole_image() -> None:
    choices = [
        forced(b"others *"),
        digits(_3=0.75, _4=0.25),
        forced(b"| dog *"),
        digits(_2=0.5, _3=0.5),
        forced(b"| others *1"),
    ]
    assert dog(choices, GridShape(2, 3), "rle") == [
        pytest.approx([0.0, 0.0, 0.0], abs=1e-4),
        pytest.approx([0.75, 1.0, 0.5], abs=1e-4),
    ]


@pytest.mark.parametrize("name", ["sd", "rle", "rrle"])
@pytest.mark.parametrize("kind", ["wordy", "merging", "bytewise"])
def test_a_sure_model_is_taken_at_its_word(
    name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    vocabulary: Vocabulary = request.getfixturevalue(kind)
    for grid in random_grids(6, seed=9, largest=7):
        shape, labels = grid.shape, [*grid.labels, "zebra"]
        grammar = mask_grammar(name, shape, labels[1:], vocabulary)
        text = get_format(name).encode(grid).encode()
        step = CacheOf(Noise(vocabulary, 0, text=text, favour=60.0))
        decoded = decode_one(step, grammar)
        body = vocabulary.decode(decoded.tokens).decode()
        cells = get_format(name).decode(body, shape, labels[1:])
        table = cell_probabilities(decoded, grammar, labels)
        assert table.shape == (len(labels), shape.rows, shape.cols)
        assert table.sum(axis=0) == pytest.approx(1.0, abs=1e-5)
        if body.encode() == text:
            for index, label in enumerate(labels):
                assert (table[index] > 0.99).tolist() == cells.select(label).tolist()


def test_flat_text_equals_asking_the_model_at_every_cell(bytewise: Vocabulary) -> None:
    """A byte a token: the first byte of a cell decides, and its logits can be asked for."""
    shape = GridShape(3, 4)
    noise = Noise(bytewise, 3)
    step = CacheOf(noise)
    grammar = mask_grammar("sd", shape, ("dog",), bytewise)
    decoded = decode_one(step, grammar)
    table = cell_probabilities(decoded, grammar, ("others", "dog"))
    text = bytewise.decode(decoded.tokens)
    places = [at for at in range(len(text)) if text[at : at + 1] in (b"d", b"o")]
    places = [at for at in places if at == 0 or text[at - 1 : at] == b" "]
    for cell, at in enumerate(places):
        logits = noise(decoded.tokens[:at])[[ord("o"), ord("d")]].astype(np.float64)
        expected = np.exp(logits) / np.exp(logits).sum()
        assert table.reshape(2, -1)[:, cell] == pytest.approx(expected, abs=1e-5)


BAD = [
    pytest.param("sd", GridShape(1, 2), "cat", id="another label"),
    pytest.param("sd", GridShape(2, 2), "dog", id="too few cells"),
    pytest.param("rrle", GridShape(1, 2), "dog", id="no runs"),
]


@pytest.mark.parametrize(("name", "shape", "label"), BAD)
def test_a_text_that_does_not_fit_is_refused(name: str, shape: GridShape, label: str) -> None:
    decoded, vocabulary = written([{b"dog": 0.7, b"others": 0.3}, forced(b"| dog\n")])
    with pytest.raises(InputError):
        cell_probabilities(decoded, layout(vocabulary, name, shape), ("others", label))


def test_a_text_without_cells_over_the_image_is_refused() -> None:
    decoded, vocabulary = written([forced(b"others\n")])
    plain = compile_grammar('start: "others\\n"', vocabulary)
    for grammar in (layout(vocabulary, "box", GridShape(1, 1)), plain):
        for read in (cell_probabilities, no_target_probability):
            with pytest.raises(InputError, match="cells are those of the image"):
                read(decoded, grammar, ("others",))


NOTHING = [
    pytest.param(
        "sd", (1, 2), [{b"others": 0.8, b"dog": 0.2}, forced(b"| "), {b"others": 0.5, b"dog": 0.5},
                       forced(b"\n")], 0.4, id="empty: exact",
    ),
    pytest.param(
        "sd", (1, 2), [{b"others": 0.8, b"dog": 0.2}, forced(b"| "), {b"dog": 0.7, b"others": 0.3},
                       forced(b"\n")], 0.24, id="up to the first cell marked",
    ),
    pytest.param(
        "rrle", (2, 4), [{b"others": 0.9, b"dog": 0.1}, forced(b" *"), digits(_4=0.5, _2=0.5),
                         forced(b"\n "), {b"others": 0.8, b"dog": 0.2}, forced(b" *4\n")],
        0.9 * 0.5 * 0.8, id="runs, empty",
    ),
    pytest.param(
        "rrle", (2, 4), [{b"others": 0.9, b"dog": 0.1}, forced(b" *"), digits(_2=0.75, _4=0.25),
                         forced(b"| dog *2\n dog *4\n")], 0.9 * 0.25, id="a longer run",
    ),
    pytest.param(
        "rle", (2, 2), [{b"dog": 0.6, b"others": 0.4}, forced(b" *4")], 0.4, id="begins marked",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "choices", "expected"), NOTHING)
def test_the_probability_of_nothing(
    name: str, shape: tuple[int, int], choices: list[Choice], expected: float
) -> None:
    decoded, vocabulary = written(choices)
    grammar = layout(vocabulary, name, GridShape(*shape))
    found = no_target_probability(decoded, grammar, ("others", "dog"))
    assert found == pytest.approx(expected, abs=1e-6)


def test_an_empty_texts_probability_is_the_product_of_its_choices(bytewise: Vocabulary) -> None:
    """A byte a token: there is one way to write a text."""
    for name in ("sd", "rle", "rrle"):
        shape = GridShape(4, 11)
        form = get_format(name)
        text = form.encode(DescriptorGrid.empty(shape)).encode()
        step = CacheOf(Noise(bytewise, 1, text=text, favour=6.0))
        grammar = mask_grammar(name, shape, ("dog",), bytewise)
        decoded = decode_one(step, grammar)
        assert bytewise.decode(decoded.tokens) == text
        found = no_target_probability(decoded, grammar, ("others", "dog"))
        assert found == pytest.approx(np.exp(decoded.log_probabilities.sum()), rel=1e-3)
