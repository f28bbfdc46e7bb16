"""What questions ask for."""

from __future__ import annotations

import pytest
import torch

from text4seg.models.nano.encoders.parts import PretrainedParts
from text4seg.models.nano.nano_model import NanoModel
from text4seg.models.nano.text.phrases import PhraseReader, find_phrases, stack_phrases
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


@pytest.fixture(scope="module")
def reader(parts: PretrainedParts, chat: NanoModel) -> PhraseReader:
    matching = chat.model.fusion.matching
    if matching is None:
        pytest.skip("these weights match by tokens alone")
    return PhraseReader(parts.sentences(), matching, chat.model.config)


@pytest.mark.nano
@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("dog", "dog"),
        ("puppies", "puppy"),
        ("hound", "dog"),
        ("telly", "tv"),
        ("smartphone", "mobile phone"),
        ("double decker bus", "double-decker"),
        ("red double decker bus", "red double-decker"),  # colors are read on their own
        ("qwxzy", "thing"),
    ],
)
def test_untaught_words_are_read_as_taught_ones(reader: PhraseReader, word: str, read: str) -> None:
    asked = reader.read(f"Segment the left {word} in this image.")
    assert asked.text == f"Segment the left {read} in this image."
    assert asked.vectors.shape[1] == 384
    assert asked.vectors.norm(dim=-1).tolist() == pytest.approx(
        [1.0] * len(asked.vectors), abs=1e-3
    )


@pytest.mark.nano
def test_tokens_are_read_like_text(reader: PhraseReader, chat: NanoModel) -> None:
    questions = ["Segment the hound in this image.", "Segment the cat in this image."]
    ids = [torch.tensor(chat.encode(question)) for question in questions]
    pad = torch.nn.utils.rnn.pad_sequence
    mask = pad([torch.ones(len(row), dtype=torch.bool) for row in ids], batch_first=True)
    tokens, there, phrases = reader.read_tokens(
        chat.text.tokenizer, pad(ids, batch_first=True), mask
    )
    read = [
        chat.text.tokenizer.decode(row[m].tolist()) for row, m in zip(tokens, there, strict=True)
    ]
    assert read == ["Segment the dog in this image.", questions[1]]
    assert phrases.mask.sum(1).tolist()[1] == 1
