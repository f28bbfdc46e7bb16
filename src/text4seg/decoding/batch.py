"""Many texts at once: each has its own grammar, draft and cut-backs, and they share the passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from text4seg.core.errors import Text4SegError
from text4seg.decoding.engine import How, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from text4seg.decoding.grammar import CompiledGrammar
    from text4seg.decoding.sampler import Row
    from text4seg.decoding.speculative import Rows
    from text4seg.decoding.stats import Decoded
    from text4seg.decoding.vocabulary import Vocabulary


class BatchStep(Protocol):
    """A language model with a cache for each of several sequences, counted from 0."""

    def __call__(self, fed: Mapping[int, Sequence[int]], /) -> Mapping[int, Rows]:
        """Feed tokens after the caches of some sequences, in one pass; the rows of each."""
        ...

    def cut(self, sequence: int, n: int, /) -> None:
        """Drop the last ``n`` tokens from the cache of one sequence."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What one sequence of a batch is to write, from where, and how."""

    first_logits: Row
    vocabulary: Vocabulary
    grammar: CompiledGrammar
    how: How = field(default_factory=How)


def decode_batch(
    step: BatchStep,
    jobs: Sequence[Job],
    *,
    on_done: Callable[[int, Decoded | Text4SegError], None] | None = None,
) -> list[Decoded | Text4SegError]:
    """Write a text for each job; what is written is what ``decode`` writes for it alone.

    A job that fails leaves the others alone: its error stands in its place. An error of the model
    itself, or one raised by ``on_done``, ends all of them. A text that is done early no longer
    takes part; its cache is left as it is.

    Args:
        step: the model; sequence i holds the prompt of job i.
        jobs: one for each sequence.
        on_done: called with a job's number and result as soon as it is there.
    """
    works = [
        writing(partial(step.cut, number), job.first_logits, job.vocabulary, job.grammar, job.how)
        for number, job in enumerate(jobs)
    ]
    results: dict[int, Decoded | Text4SegError] = {}
    fed: dict[int, list[int]] = {}
    rows: dict[int, Rows] = {}
    try:
        waiting = list(range(len(jobs)))
        while len(results) < len(jobs):
            for number in waiting:
                wanted = _go_on(works[number], rows.get(number))
                if isinstance(wanted, list):
                    fed[number] = wanted
                    continue
                results[number] = wanted
                if on_done is not None:
                    on_done(number, wanted)
            if fed:
                rows = dict(step(fed))
            waiting, fed = list(fed), {}
    finally:
        for work in works:
            work.close()
    return [results[number] for number in range(len(jobs))]


def _go_on(
    work: Generator[list[int], Rows, Decoded], rows: Rows | None
) -> list[int] | Decoded | Text4SegError:
    """The next tokens to feed, or the result."""
    try:
        return next(work) if rows is None else work.send(rows)
    except StopIteration as end:
        decoded: Decoded = end.value
        return decoded
    except Text4SegError as error:
        return error
