"""Many texts share passes, and each is what it is alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tests.reference.decoding import decode_one, mask_grammar, task_of
from tests.reference.toy import CacheOf, Noise
from text4seg.core.errors import Text4SegError
from text4seg.core.types import GridShape
from text4seg.decoding import DecodingError, DecodingResult, DecodingTask, Vocabulary, decode_batch


class CachesOf:
    """Several caches and one count of passes."""

    def __init__(self, steps: Sequence[CacheOf]) -> None:
        self.steps = steps
        self.passes = 0

    def __call__(self, fed: Mapping[int, Sequence[int]]) -> dict[int, np.ndarray]:
        assert fed
        self.passes += 1
        return {number: self.steps[number](tokens) for number, tokens in fed.items()}

    def rollback(self, sequence: int, n: int) -> None:
        self.steps[sequence].rollback(n)


CASES = [("sd", GridShape(4, 6), "row"), ("rrle", GridShape(9, 12), "none"),
         ("rle", GridShape(3, 8), "forced"), ("rrle", GridShape(2, 2), "row")]  # fmt: skip


def tasks_of(
    vocabulary: Vocabulary, steps: Sequence[CacheOf], **options: object
) -> list[DecodingTask]:
    return [
        task_of(step, mask_grammar(name, shape, ("dog",), vocabulary), draft=draft, **options)
        for step, (name, shape, draft) in zip(steps, CASES, strict=True)
    ]


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.0, "seed": 5}, {"run_lengths": "median"}], ids=str
)
def test_a_batch_writes_what_each_writes_alone(
    wordy: Vocabulary, options: dict[str, object]
) -> None:
    def steps() -> list[CacheOf]:
        return [CacheOf(Noise(wordy, seed)) for seed in range(len(CASES))]

    alone = [
        decode_one(step, mask_grammar(name, shape, ("dog",), wordy), draft=draft, **options)
        for step, (name, shape, draft) in zip(steps(), CASES, strict=True)
    ]
    together = CachesOf(steps())
    done: list[int] = []
    results = decode_batch(
        together,
        tasks_of(wordy, together.steps, **options),
        on_done=lambda number, _: done.append(number),
    )
    for one, other in zip(results, alone, strict=True):
        assert isinstance(one, DecodingResult)
        assert one.tokens == other.tokens
        assert one.stats.passes == other.stats.passes
    passes = [decoded.stats.passes for decoded in alone]
    assert together.passes == max(passes), "all share"
    assert sorted(done) == list(range(len(CASES)))
    assert done[0] == int(np.argmin(passes))
    for step, one in zip(together.steps, results, strict=True):
        assert isinstance(one, DecodingResult)
        assert step.cache == list(one.tokens)[: len(step.cache)]


class Sick(CacheOf):
    def __call__(self, tokens: Sequence[int]) -> np.ndarray:
        return super().__call__(tokens) * np.nan


def test_an_error_of_one_leaves_the_others_alone(wordy: Vocabulary) -> None:
    steps = [(Sick if number == 1 else CacheOf)(Noise(wordy, number)) for number in range(4)]
    results = decode_batch(CachesOf(steps), tasks_of(wordy, steps))
    assert isinstance(results[1], DecodingError)
    assert isinstance(results[1], Text4SegError)
    assert all(isinstance(results[number], DecodingResult) for number in (0, 2, 3))


def test_no_tasks_no_passes() -> None:
    assert decode_batch(CachesOf([]), []) == []
