"""From images and questions to a model's inputs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from text4seg.core.errors import InputError
from text4seg.models.hf.model import HFModel
from text4seg.models.hf.prompter import Prompter, chat, start_of, stretch


@pytest.fixture(scope="module")
def prompter(tmp_path_factory: pytest.TempPathFactory) -> Prompter:
    folder: Path = build("smolvlm", tmp_path_factory.mktemp("smolvlm"), small_tokenizer())
    return HFModel.load(folder).prompter


def test_an_image_is_stretched_to_the_square() -> None:
    wide = Image.new("L", (300, 100), 255)
    square = stretch(wide, 48)
    assert (square.size, square.mode) == ((48, 48), "RGB")
    assert square.getpixel((0, 0)) == (255, 255, 255)


def test_a_chat_has_the_image_before_the_question() -> None:
    (message,) = chat("Where is it?")
    assert message["role"] == "user"
    assert [part["type"] for part in message["content"]] == ["image", "text"]
    assert message["content"][1]["text"] == "Where is it?"


def test_the_start_token_is_what_the_tokenizer_adds() -> None:
    def tokenizer(ids: list[int], bos: str | None = "<s>") -> SimpleNamespace:
        class Fake(SimpleNamespace):
            def __call__(self, text: str) -> dict[str, list[int]]:
                return {"input_ids": ids}

        return Fake(bos_token=bos, bos_token_id=1)

    assert start_of(tokenizer([1, 9])) == "<s>"
    assert start_of(tokenizer([9])) == ""
    assert start_of(tokenizer([9], bos=None)) == ""


def test_a_prompt_holds_the_question_and_the_square(prompter: Prompter) -> None:
    text = prompter.text(chat("Where is the dog?"))
    assert "Where is the dog?" in text
    inputs = prompter.inputs(text, prompter.square(Image.new("RGB", (30, 20))))
    assert inputs["input_ids"].shape[0] == 1
    assert {"attention_mask", "labels"}.isdisjoint(inputs)


def test_control_tokens_stay_text_in_answers_and_are_refused_in_questions(
    prompter: Prompter,
) -> None:
    special = prompter.vocabulary.special
    word = prompter.vocabulary.tokens[special[0]].decode()
    assert not set(special) & set(prompter.encode(f"a {word} b"))
    with pytest.raises(InputError, match="control token"):
        prompter.check_question(f"Segment {word}.")
    prompter.check_question("Segment the dog.")
