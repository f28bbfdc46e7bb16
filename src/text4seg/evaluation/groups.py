"""Groups of score records: by size of the target, by position words, by kind of error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from text4seg.evaluation.records import ScoreRecord

SIZES: Mapping[str, tuple[float, float]] = {
    "under 0.5 %": (0, 0.005),
    "0.5 – 2 %": (0.005, 0.02),
    "2 – 5 %": (0.02, 0.05),
    "5 – 20 %": (0.05, 0.2),
    "20 % and more": (0.2, 1.01),
}
"""Sizes of targets as shares of the image; 5 % are 13 cells of 16×16."""

POSITIONS: Mapping[str, str] = {
    "left, right": r"left|right|leftmost|rightmost|lefthand|righthand",
    "above, below": r"top|bottom|upper|lower|above|below|topmost|uppermost|lowest|highest|under|"
    r"underneath|over|up|down",
    "front, back": r"front|back|behind|foreground|background|closest|nearest|closer|nearer|"
    r"farthest|furthest|far|rear",
    "middle": r"middle|centre|center|central|between|centermost|middlemost",
    "order": r"first|second|third|fourth|fifth|last|[0-9]+(?:st|nd|rd|th)",
    "beside": r"next|beside|near|by|adjacent|touching|against|side",
    "size, degree": r"big|bigger|biggest|large|larger|largest|small|smaller|smallest|tall|taller|"
    r"tallest|short|shorter|shortest",
}
"""Words that tell several things of one kind apart, by group; an expression may be in several."""

NO_POSITION = "none of these words"
_WORDS = {name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in POSITIONS.items()}

Verdict = Literal[
    "right", "coarse", "grid too coarse", "wrong object", "missed", "hallucinated", "unparsable"
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

RIGHT_FROM = 0.5
WRONG_BELOW = 0.1

MEANINGS: Mapping[Verdict, str] = {
    "right": f"IoU of at least {RIGHT_FROM}, or rightly empty",
    "coarse": f"the right object, IoU from {WRONG_BELOW} to {RIGHT_FROM}",
    "grid too coarse": f"the same, where the grid itself allows no {RIGHT_FROM}",
    "wrong object": f"IoU below {WRONG_BELOW}",
    "missed": "the target is present, and the answer is empty",
    "hallucinated": "the target is absent, and the answer is not empty",
    "unparsable": "nothing of the text could be read",
}
"""The definition of each verdict."""


def size_group(record: ScoreRecord) -> str | None:
    """The size group of a target; None where it is absent."""
    if not record.present:
        return None
    return next(name for name, (low, high) in SIZES.items() if low <= record.share < high)


def position_groups(expression: str) -> list[str]:
    """The groups of words that an expression uses."""
    found = [name for name, words in _WORDS.items() if words.search(expression)]
    return found or [NO_POSITION]


def by_size(records: Sequence[ScoreRecord]) -> dict[str, list[ScoreRecord]]:
    """Records of present things by size, smallest first; empty groups are left out."""
    groups: dict[str, list[ScoreRecord]] = {name: [] for name in SIZES}
    for record in records:
        group = size_group(record)
        if group is not None:
            groups[group].append(record)
    return {name: group for name, group in groups.items() if group}


def by_position(records: Sequence[ScoreRecord]) -> dict[str, list[ScoreRecord]]:
    """Records by position words; empty if no expression has any."""
    groups: dict[str, list[ScoreRecord]] = {name: [] for name in (*POSITIONS, NO_POSITION)}
    for record in records:
        for name in position_groups(record.truth.expression):
            groups[name].append(record)
    found = {name: group for name, group in groups.items() if group}
    return {} if list(found) == [NO_POSITION] else found


def verdict(record: ScoreRecord, *, empty_below: int = 1) -> Verdict:
    """Classify a record by its kind of error.

    The thresholds of IoU, 0.5 for right and 0.1 for having found the object at all, are those of
    TIDE (Bolya et al., ECCV 2020, §2.2).

    Args:
        record: The record.
        empty_below: An answer of fewer pixels counts as empty.

    Returns:
        One of `VERDICTS`.
    """
    pixels = record.pixels.emptied(empty_below)
    if record.prediction.validity == "unparsable":
        return "unparsable"
    if not record.present:
        return "hallucinated" if pixels.predicted else "right"
    if pixels.predicted == 0:
        return "missed"
    if pixels.iou >= RIGHT_FROM:
        return "right"
    if pixels.iou < WRONG_BELOW:
        return "wrong object"
    limited = record.oracle is not None and record.oracle < RIGHT_FROM
    return "grid too coarse" if limited else "coarse"


def error_split(records: Sequence[ScoreRecord], *, empty_below: int = 1) -> dict[Verdict, int]:
    """Count the records of each verdict, zeros too."""
    counts: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
    for record in records:
        counts[verdict(record, empty_below=empty_below)] += 1
    return counts
