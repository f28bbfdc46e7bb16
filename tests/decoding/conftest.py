"""Vocabularies that the tests of this room share."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.passes import vocabulary_of
from tests.reference.toy import byte_vocabulary, train_tokenizer
from text4seg.codec import get_format
from text4seg.core.types import OTHERS, DescriptorGrid
from text4seg.decoding import Vocabulary

LABELS = ("dog", "cat", "dog house")


def random_grids(count: int, seed: int = 0, largest: int = 16) -> list[DescriptorGrid]:
    """Grids with a rectangle of each of one or two labels."""
    rng = np.random.default_rng(seed)
    grids = []
    for _ in range(count):
        rows, cols = rng.integers(4, largest + 1, size=2)
        cells = np.zeros((rows, cols), dtype=np.int32)
        for index in range(1, rng.integers(2, 4)):
            top, left = rng.integers(0, rows), rng.integers(0, cols)
            cells[top : top + rng.integers(1, rows), left : left + rng.integers(1, cols)] = index
        names = rng.permutation(LABELS).tolist()
        grids.append(DescriptorGrid.build((OTHERS, *names), cells))
    return grids


def _texts() -> list[str]:
    grids = random_grids(60)
    return [get_format(name).encode(grid) for grid in grids for name in ("sd", "rle", "rrle")]


@pytest.fixture(scope="session")
def merging() -> Vocabulary:
    """A vocabulary whose tokens reach across cells, runs and rows."""
    vocabulary = vocabulary_of(train_tokenizer(_texts()))
    assert any(b"\n others" in token for token in vocabulary.tokens)
    assert any(b"| dog" in token for token in vocabulary.tokens)
    return vocabulary


@pytest.fixture(scope="session")
def wordy() -> Vocabulary:
    """A vocabulary of words, such as those of real tokenizers, with counts of two digits."""
    vocabulary = vocabulary_of(train_tokenizer(_texts(), 300, words=True))
    assert {b" others", b" dog", b"12"} <= set(vocabulary.tokens)
    return vocabulary


@pytest.fixture(scope="session")
def bytewise() -> Vocabulary:
    """One token a byte."""
    return byte_vocabulary()
