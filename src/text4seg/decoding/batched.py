"""Several texts at once, each with its own grammar and draft, in shared forward passes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from text4seg.core.errors import Text4SegError
from text4seg.decoding.engine import decoding

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from text4seg.decoding.engine import DecodingTask
    from text4seg.decoding.stats import DecodingResult
    from text4seg.models.interface import BatchStep, LogitRows


def decode_batch(
    step: BatchStep,
    tasks: Sequence[DecodingTask],
    *,
    on_done: Callable[[int, DecodingResult | Text4SegError], None] | None = None,
) -> list[DecodingResult | Text4SegError]:
    """Decode several texts in shared passes; each is what `decode` writes for it alone.

    A text that is complete early no longer takes part; its cache is left as it is.

    Args:
        step: The model; sequence i holds the prompt of task i.
        tasks: One for each sequence.
        on_done: Called with a task's number and result as soon as it is there.

    Returns:
        For each task what was decoded, or the error that ended it; other tasks go on after one.

    Raises:
        Exception: An error of the model itself, or one raised by `on_done`, ends all tasks.
    """
    works = [decoding(partial(step.rollback, at), task) for at, task in enumerate(tasks)]
    results: dict[int, DecodingResult | Text4SegError] = {}
    fed: dict[int, list[int]] = {}
    rows: dict[int, LogitRows] = {}
    try:
        # Each round resumes the tasks that were fed, collects what they want, and makes one pass.
        waiting = list(range(len(tasks)))
        while len(results) < len(tasks):
            for number in waiting:
                wanted = _resume(works[number], rows.get(number))
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
        # Closing a generator drops its draft from the cache.
        for work in works:
            work.close()
    return [results[number] for number in range(len(tasks))]


def _resume(
    work: Generator[list[int], LogitRows, DecodingResult], rows: LogitRows | None
) -> list[int] | DecodingResult | Text4SegError:
    """The next tokens to feed, or the result."""
    try:
        return next(work) if rows is None else work.send(rows)
    except StopIteration as end:
        decoded: DecodingResult = end.value
        return decoded
    except Text4SegError as error:  # of this text alone; other errors end all of them
        return error
