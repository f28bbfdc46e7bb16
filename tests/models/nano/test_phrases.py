"""What questions ask for."""

from __future__ import annotations

import pytest
import torch

from text4seg.models.nano.phrases import find_phrases, stack_phrases
from text4seg.prompts import PART, QUESTIONS


@pytest.mark.parametrize(
    "wording", [*QUESTIONS, *(p.replace("{name}", "{expression}") for p in PART)]
)
@pytest.mark.parametrize(
    ("expression", "phrases"),
    [
        ("the dog", ["dog"]),
        ("Hot Dog", ["hot dog"]),
        ("all of the people", ["people"]),
        ("the left dog", ["dog"]),
        ("the second dog from the left", ["dog"]),
        ("the biggest umbrella on the right", ["umbrella"]),
        ("the cat and the dog", ["cat", "dog"]),
        ("the man in the red shirt", ["man in the red shirt", "man"]),
        ("the cup left of the lamp", ["cup left of the lamp", "cup"]),
        ("the top", ["top"]),
        ("the left top", ["top"]),
    ],
)
def test_phrases(wording: str, expression: str, phrases: list[str]) -> None:
    expected = list(phrases)
    assert find_phrases(wording.format(expression=expression)) == expected


def test_other_questions_are_read_as_well_as_they_can_be() -> None:
    assert find_phrases("find the dog") == ["dog"]
    assert find_phrases("Please show me the old clock!") == ["old clock"]
    assert find_phrases("   ") == []


def test_at_most_four() -> None:
    assert len(find_phrases("Segment a, b, c, d, e and f in this image.")) == 4


def test_stacked_phrases_know_which_are_there() -> None:
    phrases = stack_phrases([torch.ones(1, 3), torch.ones(2, 3)])
    assert phrases.vectors.shape == (2, 2, 3)
    assert phrases.mask.tolist() == [[True, False], [True, True]]
