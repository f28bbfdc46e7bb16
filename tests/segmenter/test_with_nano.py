"""Several questions at once, with the embedded model's real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from text4seg.decoding import DecodingOptions
from text4seg.models.nano.nano_model import NanoModel
from text4seg.segmenter import Segmentation, Segmenter

IMAGES = Path(__file__).parents[2] / "examples" / "photos"
QUESTIONS = [
    (IMAGES / "cat.jpg", "the cat"),
    (IMAGES / "coffee.jpg", "the cup"),
    (IMAGES / "cat.jpg", "the dog"),  # the model is sure that there is none
    (IMAGES / "coffee.jpg", "the spoon"),
]

pytestmark = [pytest.mark.nano, pytest.mark.usefixtures("nano_parts")]


@pytest.fixture(scope="module")
def chat(nano_parts: None) -> NanoModel:
    return NanoModel.load()


def check_alike(together: Segmentation, alone: Segmentation) -> None:
    assert together.text == alone.text
    assert np.array_equal(together.mask, alone.mask)
    assert together.probability == pytest.approx(alone.probability, abs=1e-3)
    no_target = alone.no_target_probability
    assert together.no_target_probability == pytest.approx(no_target, abs=1e-3)


@pytest.mark.parametrize("form", ["sd", pytest.param("rrle", marks=pytest.mark.slow)])
def test_a_batch_equals_one_by_one(chat: NanoModel, form: str) -> None:
    segmenter = Segmenter(chat, format=form)
    together = segmenter.batch(QUESTIONS)
    alone = [segmenter(image, expression) for image, expression in QUESTIONS]
    assert sum(not found.empty for found in alone) >= 2
    for one, other in zip(together, alone, strict=True):
        check_alike(one, other)


@pytest.mark.slow
def test_masks_drawn_together_equal_those_drawn_alone(chat: NanoModel) -> None:
    image, expression = QUESTIONS[0]
    options = DecodingOptions(temperature=2.0)
    drawn = Segmenter(chat, options=options).sample(image, expression, 3)
    assert len({one.text for one in drawn}) > 1
    for seed, one in enumerate(drawn):
        options = DecodingOptions(temperature=2.0, seed=seed)
        check_alike(one, Segmenter(chat, options=options)(image, expression))


@pytest.mark.parametrize(
    ("image", "word", "cells"),
    [("cat.jpg", "kitty", 150), ("coffee.jpg", "a mug", 35), ("coffee.jpg", "The mug", 35)],
)
def test_any_word_is_written_as_surely_as_behind_the(
    chat: NanoModel, image: str, word: str, cells: int
) -> None:
    """nano's lesson had bare names, and all other words behind `the`; the answer says the word."""
    segmenter, file = Segmenter(chat), IMAGES / image
    answer = segmenter(file, word)
    assert answer.grid.labels == ("others", word)
    assert (answer.grid.cells > 0).sum() > cells
    assert segmenter.format.decode(answer.text, segmenter.shape, (word,)) == answer.grid
    *rows, last = segmenter.stream(file, word, previous=answer.grid)
    assert last.segmentation is not None
    assert last.segmentation.text == answer.text
    assert all(row.grid.labels in (("others",), ("others", word)) for row in rows)
    assert answer.text.startswith(rows[5].text)
    together = segmenter.batch([(file, word), (file, "the dog")])
    check_alike(together[0], answer)
