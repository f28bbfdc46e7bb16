"""The type of a question, and the thing that it is about, are read off its wording."""

from __future__ import annotations

import pytest

from text4seg.models.nano.text.question_types import (
    QUESTION_TYPES,
    ParsedQuestion,
    parse_question,
)


@pytest.mark.parametrize(
    ("question", "kind", "expression"),
    [
        ("Is there a dog in the image?", "there", "the dog"),
        ("Are there any dogs?", "there", "the dogs"),
        ("Do you see a red car?", "there", "the red car"),
        ("can you see  an Umbrella in this picture", "there", "the umbrella"),
        ("Is a dog visible in the image?", "there", "the dog"),
        ("Does the image show a cup left of the lamp?", "there", "the cup left of the lamp"),
        ("How many dogs are there?", "count", "the dogs"),
        ("How many people can you see in this picture?", "count", "the people"),
        ("How many dogs are on the left?", "count", "the dogs on the left"),
        ("How many cups?", "count", "the cups"),
        ("what color is the skirt?", "color", "the skirt"),
        ("What is the color of the tie in the image?", "color", "the tie"),
        ("Where is the cup?", "where", "the cup"),
        ("Where in the picture are the dogs?", "where", "the dogs"),
        ("What is in the image?", "names", None),
        ("What's in this picture?", "names", None),
        ("What do you see?", "names", None),
        ("What is this?", "name", None),
        ("Why is he smiling?", "other", None),
        ("Is there the?", "there", "the the"),
        ("dog", "other", None),
        ("?", "other", None),
    ],
)
def test_what_a_question_asks(question: str, kind: str, expression: str | None) -> None:
    read = parse_question(question)
    assert read.kind in QUESTION_TYPES
    if question != "Is there the?":
        assert read == ParsedQuestion(kind, expression)
