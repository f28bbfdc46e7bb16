from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeChat, block
from text4seg.core.errors import InputError
from text4seg.core.rle import mask_to_rle
from text4seg.data import Asked, Sample
from text4seg.evaluation import evaluate, summarise
from text4seg.segmenter import Segmenter

DOG = block("the dog", slice(4, 8), slice(0, 8))


def asked(expression: str, mask: np.ndarray | None) -> Asked:
    return Asked(expression, None if mask is None else mask_to_rle(mask), "val", "line 1")


def rectangle(rows: slice, cols: slice) -> np.ndarray:
    mask = np.zeros((64, 64), dtype=bool)
    mask[rows, cols] = True
    return mask


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_answers_are_scored_on_the_grid_and_in_pixels(photo: Path) -> None:
    model = FakeChat({"the dog": DOG}, certainty=30.0)
    questions = (
        # the answer is rows 16…32 and columns 0…32 of pixels; half of it is right
        asked("the dog", rectangle(slice(16, 32), slice(0, 16))),
        asked("the cat", rectangle(slice(0, 1), slice(0, 1))),
        asked("the cow", None),
        asked("the dog", None),
    )
    told: list[str] = []
    outcomes = evaluate(
        Segmenter(model),
        [Sample(photo, questions)],
        on_answer=lambda sample, asked, answer: told.append(asked.expression),
    )
    assert model.opened == [(64, 64)], "a photo is opened once"
    assert told == ["the dog", "the cat", "the cow", "the dog"]
    assert [outcome.grid_iou for outcome in outcomes] == [0.5, 0.0, None, None]
    assert [outcome.pixel_iou for outcome in outcomes] == [0.5, 0.0, None, None]
    assert [outcome.empty for outcome in outcomes] == [False, True, True, False]
    assert [outcome.truth_cells for outcome in outcomes] == [16, 1, 0, 0], (
        "one pixel still has a cell"
    )
    figures = summarise(outcomes)["val"]
    assert (figures.false_empties, figures.true_empties, figures.strict) == (0.5, 0.5, 1.0)


def test_a_photo_that_breaks_in_the_middle_is_named(photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:60])
    with pytest.raises(InputError, match=r"a\.png"):
        evaluate(Segmenter(FakeChat()), [Sample(photo, (asked("the dog", None),))])
