"""Which expressions are names, and names that are added to the name head."""

from __future__ import annotations

import pytest
import torch

from text4seg.models.nano.nano_model import NanoModel
from text4seg.training.nano.new_names import add_names, frequent_names, name_of

NAMES = [
    pytest.param("the dog", "dog", id="an article"),
    pytest.param("All of the Running Shoes", "running shoes", id="capitals"),
    pytest.param("a cup", "cup", id="another article"),
    pytest.param("the left dog", None, id="one of several"),
    pytest.param("the dog that sleeps on the sofa", None, id="a sentence"),
    pytest.param("the cup and the plate", None, id="two things"),
    pytest.param("the", "the", id="an article alone"),
]


@pytest.mark.parametrize(("expression", "name"), NAMES)
def test_an_expression_is_a_name_or_not(expression: str, name: str | None) -> None:
    assert name_of(expression) == name


def test_names_are_those_of_several_images() -> None:
    found = [("cup", 1), ("cup", 1), ("dog", 1), ("dog", 2)]
    assert frequent_names(found) == ["dog"]


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_new_names_leave_the_old_ones_as_they_were() -> None:
    chat = NanoModel.load()
    fusion, known = chat.model.fusion, len(chat.model.config.names)
    features = torch.rand(1, 256, chat.model.config.vision_channels)
    with torch.inference_mode():
        before = fusion.encode_image(features).names
    some = chat.model.config.names[0]
    words = [some, "zorble", "left sock"]
    added = add_names(chat.model, chat.text.tokenizer, words, chat.embed)
    assert added == ["zorble", "left sock"]
    with torch.inference_mode():
        after = fusion.encode_image(features).names
    torch.testing.assert_close(after[..., :known], before)
    assert after.shape[-1] == known + 2
    assert add_names(chat.model, chat.text.tokenizer, ["zorble"], chat.embed) == []
