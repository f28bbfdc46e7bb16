"""What a question says of a thing besides its name."""

from __future__ import annotations

import pytest
import torch

from text4seg.models.nano.encoders.colors import COLORS
from text4seg.models.nano.text.attributes import (
    RELATIONS,
    SIDES,
    Attributes,
    read_attributes,
    stack_attributes,
)
from text4seg.models.nano.text.phrases import find_attributes, find_phrases
from text4seg.prompts import QUESTIONS, question


@pytest.mark.parametrize(
    ("expression", "phrases", "attributes"),
    [
        ("the dog", ["dog"], {}),
        ("the red dress", ["dress"], {"color": "red"}),
        ("the dark gray Jacket", ["jacket"], {"color": "grey"}),
        ("the orange", ["orange"], {}),
        ("the left dog", ["dog"], {"side": "left"}),
        ("the second dog from the right", ["dog"], {"side": "right", "rank": 1}),
        ("the third largest cup", ["cup"], {"side": "big", "rank": 2}),
        ("the cup on the left", ["cup"], {"side": "left"}),
        ("the dog at the bottom", ["dog"], {"side": "bottom"}),
        ("the cup to the left of the lamp", ["cup"], {"relation": "left", "landmark": "lamp"}),
        ("the cup right of a lamp", ["cup"], {"relation": "right", "landmark": "lamp"}),
        (
            "the black cat that is under the wooden table",
            ["cat"],
            {"color": "black", "relation": "below", "landmark": "wooden table"},
        ),
        ("the man next to the car", ["man"], {"relation": "near", "landmark": "car"}),
        ("the dog and the cat", ["dog", "cat"], {}),
        ("the woman with a bag", ["woman with a bag", "woman"], {}),
    ],
)
def test_terms_are_read_off(
    expression: str, phrases: list[str], attributes: dict[str, object]
) -> None:
    for index in range(len(QUESTIONS)):
        found, told = find_attributes(question(expression, index=index))
        assert found == phrases
        expected = Attributes(told.thing, **attributes)  # type: ignore[arg-type]
        assert told == expected


def test_what_says_nothing_of_the_kind_is_left_as_it_was() -> None:
    for expression in ("the hot dog", "people", "a person in a long coat", "", "left", "of the"):
        attributes = read_attributes(expression)
        assert (attributes.color, attributes.relation, attributes.rank) == (None, None, 0)
        assert attributes.thing == expression
    assert find_attributes("?!") == (find_phrases("?!"), Attributes(""))


def test_terms_become_numbers() -> None:
    told = [
        read_attributes(e) for e in ("the dog", "the second red cup from the left", "a below b")
    ]
    lamp = torch.randn(4)
    made = stack_attributes(told, [None, None, lamp], 4)
    assert made.colors.shape == (3, len(COLORS))
    assert made.sides.shape == (3, len(SIDES))
    assert made.relations.shape == (3, len(RELATIONS))
    assert not any(t[0].any() for t in (made.colors, made.sides, made.relations, made.landmarks))
    assert COLORS[int(made.colors[1].argmax())] == "red"
    assert SIDES[int(made.sides[1].argmax())] == "left"
    assert made.ranks.tolist() == [0.0, 1.0, 0.0]
    assert RELATIONS[int(made.relations[2].argmax())] == "below"
    assert torch.equal(made.landmarks[2], lamp)
