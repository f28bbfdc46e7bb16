"""Paired comparison of two runs on the same questions, with bootstrap intervals and p values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from text4seg.core.errors import InputError
from text4seg.evaluation.groups import VERDICTS, error_split
from text4seg.evaluation.records import ScoreRecord
from text4seg.evaluation.report import Table
from text4seg.evaluation.summary import COLUMNS, COMPARED, by_set, parts_of, percent, three
from text4seg.metrics import Difference, compare_ratios

NAMES = {name: COLUMNS[name][0] for name in COMPARED if name in COLUMNS} | {
    "precision_at_0.5": "Pr@0.5",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired comparison of two runs.

    Attributes:
        questions: How many questions are in both runs.
        unpaired: How many are in one run alone.
        differences: B - A by set and figure.
        errors: Counts of verdicts by set, of the first and of the second run.
    """

    questions: int
    unpaired: int
    differences: dict[str, dict[str, Difference]]
    errors: dict[str, tuple[dict[str, int], dict[str, int]]]

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return asdict(self)

    def tables(self) -> list[Table]:
        """A table for each set, with its errors."""
        found = []
        for name, figures in self.differences.items():
            rows = [_line(figure, difference) for figure, difference in figures.items()]
            headings = ("", "A", "B", "B - A", "95 % interval", "p")
            found.append(Table(name, headings, tuple(rows)))
            first, second = self.errors[name]
            errors = [(kind, str(first[kind]), str(second[kind])) for kind in VERDICTS]
            found.append(Table(f"{name}: errors", ("", "A", "B"), tuple(errors)))
        return found


def compare_runs(
    first: Sequence[ScoreRecord], second: Sequence[ScoreRecord], *, empty_below: int = 1
) -> Comparison:
    """Compare the records of two runs question by question.

    A question is known by its image, its expression and its set; where it was asked several times,
    by its place among those.

    Args:
        first: The records of run A.
        second: The records of run B.
        empty_below: An answer of fewer pixels counts as empty.

    Returns:
        The differences B - A of each set and figure, and the errors of both runs.

    Raises:
        InputError: No question was asked in both.
    """
    ours, theirs = _keyed(first), _keyed(second)
    keys = [key for key in ours if key in theirs]
    if not keys:
        raise InputError("the two runs have no question in common")
    for key in keys:
        if ours[key].pixels.target != theirs[key].pixels.target:
            raise InputError(
                f"{key[1]!r} of {key[0]} has {ours[key].pixels.target} true pixels in one run and "
                f"{theirs[key].pixels.target} in the other: they were not measured on the same data"
            )
    sets = by_set([ours[key] for key in keys])
    others = by_set([theirs[key] for key in keys])
    differences: dict[str, dict[str, Difference]] = {}
    errors: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
    for name, rows in sets.items():
        differences[name] = _differences(rows, others[name], empty_below)
        errors[name] = (
            _split(rows, empty_below),
            _split(others[name], empty_below),
        )
    unpaired = len(ours) + len(theirs) - 2 * len(keys)
    return Comparison(len(keys), unpaired, differences, errors)


def _split(records: Sequence[ScoreRecord], empty_below: int) -> dict[str, int]:
    return {
        str(kind): count for kind, count in error_split(records, empty_below=empty_below).items()
    }


def _keyed(records: Sequence[ScoreRecord]) -> dict[tuple[str, str, str, int], ScoreRecord]:
    seen: Counter[tuple[str, str, str]] = Counter()
    keyed = {}
    for record in records:
        truth = record.truth
        question = truth.image, truth.expression, truth.set
        keyed[*question, seen[question]] = record
        seen[question] += 1
    return keyed


def _differences(
    first: Sequence[ScoreRecord], second: Sequence[ScoreRecord], empty_below: int
) -> dict[str, Difference]:
    images = [record.truth.image for record in first]
    parts = parts_of(first, empty_below), parts_of(second, empty_below)
    found = {}
    for at, name in enumerate(COMPARED):
        difference = compare_ratios(parts[0][:, at], parts[1][:, at], images)
        if not np.isnan(difference.difference.value):
            found[name] = difference
    return found


def _line(name: str, found: Difference) -> tuple[str, ...]:
    write = COLUMNS[name][1] if name in COLUMNS else percent
    difference = found.difference
    if write is percent:
        change, low, high = (
            f"{100 * value:+.1f}" for value in (difference.value, difference.low, difference.high)
        )
    else:
        change, low, high = (
            ("-" if value < 0 else "+") + three(abs(value))
            for value in (difference.value, difference.low, difference.high)
        )
    return (
        NAMES[name],
        write(found.first),
        write(found.second),
        change,
        f"[{low}, {high}]",
        f"{found.p:.4f}",
    )
