"""What a model inherits when it subclasses the interface."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tests.fakes import FakeStep, byte_table
from text4seg.core.errors import InputError
from text4seg.models import (
    Capabilities,
    GeneratedText,
    ImageSession,
    PreparedPrompt,
    VisionLanguageModel,
)
from text4seg.models.defaults import ModelDefaults


class Steered(ImageSession):
    """Implements what a steered model has to, and no more."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, tuple[int, int]]] = []

    def prepare(
        self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
    ) -> PreparedPrompt:
        self.asked.append((question, answer_prefix, grid))
        step = FakeStep(b"yes", 5.0)
        return PreparedPrompt(step, step.row(0), byte_table(), prompt_tokens=3)


class TextOnly(ImageSession):
    """Implements what a text-only model has to, and no more."""

    def generate(self, question: str, answer_prefix: str, **_: Any) -> GeneratedText:
        return GeneratedText(question + answer_prefix)


class Model(VisionLanguageModel):
    capabilities = Capabilities()
    defaults = ModelDefaults()

    def encode_image(self, image: Image.Image) -> ImageSession:
        return Steered()


def test_words_are_asked_for_with_an_empty_prefix() -> None:
    session = Steered()
    prompt = session.prepare_vqa("Is there a dog?")
    assert session.asked == [("Is there a dog?", "", (16, 16))]
    assert prompt.prompt_tokens == 3


def test_an_expression_is_its_own_label() -> None:
    for session in (Steered(), TextOnly()):
        assert session.label_for("the dog on the left") == "the dog on the left"


def test_a_steered_model_does_not_generate() -> None:
    with pytest.raises(InputError, match="prepare a prompt"):
        Steered().generate("Is it?", "", grammar=None, max_tokens=9)


def test_a_text_only_model_prepares_nothing() -> None:
    with pytest.raises(InputError, match="text only"):
        TextOnly().prepare("Segment the dog.", "<seg>")
    with pytest.raises(InputError, match="text only"):
        TextOnly().prepare_vqa("Is it?")
    assert TextOnly().generate("a", "b", grammar=None, max_tokens=1).text == "ab"


def test_a_model_shares_no_passes_unless_it_says_so() -> None:
    model = Model()
    assert not model.capabilities.batch
    prompt = model.encode_image(Image.new("RGB", (4, 4))).prepare("a", "b")
    with pytest.raises(InputError, match="cannot share passes"):
        model.batch([prompt])


def test_what_a_prompt_need_not_say() -> None:
    prompt = Steered().prepare("a", "b")
    assert (prompt.bias, prompt.cell_log_odds, prompt.max_context) == (None, None, None)
    assert not prompt.absent


def test_an_answer_is_finished_unless_it_says_otherwise() -> None:
    answer = GeneratedText("yes")
    assert (answer.text, answer.tokens, answer.finished) == ("yes", None, True)


def test_capabilities_by_default() -> None:
    able = Capabilities()
    assert (able.names_grid, able.vqa, able.grammar, able.log_probabilities) == (True,) * 4
    assert (able.text_only, able.batch, able.cell_head, able.any_layout) == (False,) * 4
