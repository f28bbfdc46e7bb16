"""Answers in words: an ordinary reply, told apart from masks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.fakes import END, FakeChat, FakeStep, FakeWriter, byte_table
from text4seg.core.errors import InputError, Text4SegError
from text4seg.models import (
    Capabilities,
    GeneratedText,
    ImageSession,
    PreparedPrompt,
    VisionLanguageModel,
)
from text4seg.models.defaults import ModelDefaults
from text4seg.segmenter import Answer, Segmenter
from text4seg.segmenter.vqa import MASK

IMAGE = Image.new("RGB", (32, 24))


class FakeTalker(VisionLanguageModel, ImageSession):
    """A model that says the same to everything, in bytes; it is its own session."""

    capabilities = Capabilities()
    defaults = ModelDefaults(format="sd")

    def __init__(self, said: bytes, max_context: int | None = None) -> None:
        self.said, self.max_context = said, max_context
        self.opened = 0
        self.asked: list[tuple[str, str]] = []

    def encode_image(self, image: Image.Image) -> FakeTalker:
        self.opened += 1
        return self

    def prepare(
        self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
    ) -> PreparedPrompt:
        self.asked.append((question, answer_prefix))
        step = FakeStep(self.said, 5.0)
        return PreparedPrompt(
            step, step.row(0), byte_table(), prompt_tokens=7, max_context=self.max_context
        )


class FakeServed(FakeChat):
    """A text-only model that also answers plain questions, or writes masks only."""

    def __init__(self, *, vqa: bool = True) -> None:
        super().__init__(written="")
        self.capabilities = Capabilities(text_only=True, vqa=vqa)

    def encode_image(self, image: Image.Image) -> FakeWriter:
        return FakeAnswers("")


class FakeAnswers(FakeWriter):
    def generate(
        self, question: str, answer_prefix: str, *, grammar: str | None, max_tokens: int
    ) -> GeneratedText:
        assert (answer_prefix, grammar) == ("", None)
        return GeneratedText(f" {question} {max_tokens} ", finished=max_tokens > 3)


def test_an_answer_is_what_the_model_says_to_its_end() -> None:
    model = FakeTalker(b" two dogs ")
    answer = Segmenter(model).ask(IMAGE, "How many dogs are there?")
    assert (answer.text, answer.tokens, answer.finished) == ("two dogs", 10, True)
    assert model.asked == [("How many dogs are there?", "")]
    assert not answer.holds_mask
    assert answer.seconds > 0
    record = answer.to_record()
    assert record["question"] == "How many dogs are there?"
    assert record["answer"] == "two dogs"


def test_a_image_is_opened_once_for_all_its_questions() -> None:
    model = FakeTalker(b"yes")
    answers = Segmenter(model).ask_many(IMAGE, ["Is there a dog?", "And a cat?"])
    assert [answer.question for answer in answers] == ["Is there a dog?", "And a cat?"]
    assert model.opened == 1


@pytest.mark.parametrize(("most", "room"), [(4, None), (64, 4)])
def test_an_answer_may_be_cut(most: int, room: int | None) -> None:
    answer = Segmenter(FakeTalker(b"a long answer", room)).ask(
        IMAGE, "What is this?", max_tokens=most
    )
    assert (answer.text, answer.tokens, answer.finished) == ("a lo", 4, False)


def test_bytes_that_are_no_text_harm_nothing() -> None:
    assert Segmenter(FakeTalker(b"caf\xc3")).ask(IMAGE, "Where?").text == "caf\ufffd"


def test_padding_of_the_vocabulary_is_no_token() -> None:
    class Padded(FakeTalker):
        def prepare(
            self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
        ) -> PreparedPrompt:
            step = FakeStep(self.said, 5.0)
            logits = np.append(step.row(0), np.float32(99.0))
            assert len(logits) == END + 2
            return PreparedPrompt(step, logits, byte_table(), prompt_tokens=7)

    assert Segmenter(Padded(b"yes")).ask(IMAGE, "Is it?").text == "yes"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It is here:\n<seg>others| dog</seg> there", f"It is here:\n{MASK} there"),
        ("<seg>others| do", MASK),
        ("<seg>a</seg><seg>b</seg>", MASK + MASK),
    ],
)
def test_a_mask_in_an_answer_is_told(text: str, words: str) -> None:
    answer = Answer("Where is the dog?", text, 9, 0.1, finished=True)
    assert answer.holds_mask
    assert answer.words == words
    assert answer.to_record()["mask"] is True


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("", "needs words"),
        (" \n\t?!", "needs words"),
        ("\x00\u200b", "needs words"),
        ("a" * 2001, "at most 2000"),
    ],
)
def test_questions_that_cannot_be_asked(question: str, message: str) -> None:
    model = FakeTalker(b"yes")
    with pytest.raises(InputError, match=message):
        Segmenter(model).ask(IMAGE, question)
    assert model.opened == 0


def test_no_room_and_no_tokens() -> None:
    with pytest.raises(Text4SegError):
        Segmenter(FakeTalker(b"yes", max_context=0)).ask(IMAGE, "Is it?")
    with pytest.raises(InputError, match="at least one token"):
        Segmenter(FakeTalker(b"yes")).ask(IMAGE, "Is it?", max_tokens=0)


def test_a_served_model_is_asked_plainly() -> None:
    segmenter = Segmenter(FakeServed())
    answer = segmenter.ask(IMAGE, "Is it?", max_tokens=5)
    assert (answer.text, answer.tokens, answer.finished) == ("Is it? 5", None, True)
    assert not segmenter.ask(IMAGE, "Is it?", max_tokens=3).finished


def test_a_model_that_writes_masks_only_says_so() -> None:
    with pytest.raises(InputError, match="masks only"):
        Segmenter(FakeServed(vqa=False)).ask(IMAGE, "Is it?")
