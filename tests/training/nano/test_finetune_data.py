"""Chats become questions with cells, and batches that are augmented."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from text4seg.core.errors import InputError
from text4seg.core.types import GridShape
from text4seg.training.chats import Chat, one_turn, read_chats
from text4seg.training.nano.finetune_data import (
    Augmentation,
    FeatureCache,
    FineTuneData,
    _swap,
    read_questions,
)
from text4seg.training.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "examples" / "photos"


def recipe(*more: str) -> Recipe:
    data = (f"data.train={IMAGES / 'examples.jsonl'}", f"data.images={IMAGES}")
    return load_recipe(ROOT / "recipes" / "nano-own-data.toml", (*data, *more))


def questions_of(given: Recipe) -> tuple[list[Chat], list]:
    chats = read_chats(given.data.train, given.data)
    shape = GridShape.parse(given.data.grid)
    return chats, read_questions(chats, format_name=given.data.format, grid=shape)


@pytest.mark.parametrize("change", ["data.grid=16x16", "data.grid=32x32", "data.format=rrle"])
def test_chats_become_cells(change: str) -> None:
    chats, questions = questions_of(recipe(change))
    assert len(questions) == len(chats) == 11
    assert [q.image for q in questions] == sorted(q.image for q in questions)
    cat, dog = questions[:2]
    assert (cat.name, dog.name) == ("cat", "dog")
    assert 20 < float(cat.cells.sum()) < 256
    assert not dog.cells.any()


def test_a_batch_is_the_same_for_the_same_seed_and_moved_with_its_image() -> None:
    _, questions = questions_of(recipe())
    images = 1 + max(q.image for q in questions)
    features = torch.rand(images, 256, 2048)
    data = FineTuneData(questions, features, ["cat", "dog", "unasked"])
    plain, first, again = (data.batch([0, 1, 5], s) for s in (None, (7,), (7,)))
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.cells, again.cells)
    assert not torch.equal(first.features, plain.features)
    torch.testing.assert_close(plain.features[0], features[0])
    assert plain.annotated[0].tolist() == [True, True, False]
    assert torch.equal(plain.names[0, :, 0] > 0, plain.cells[0] > 0)


def test_a_mirrored_image_has_its_cells_and_words_mirrored() -> None:
    still = Augmentation(torch.tensor([True]), torch.ones(1), torch.zeros(1, 2))
    cells = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(still.apply(cells), cells.flip(3))
    chat = Chat(IMAGES / "cat.jpg", one_turn("Segment the left cat.", "x"), "", "the left cat")
    assert _swap(chat.expression) == "the right cat"
    assert _swap("the right of the left cat") == "the left of the right cat"


def test_an_image_is_encoded_once(tmp_path: Path) -> None:
    chats, _ = questions_of(recipe())
    encoded = []

    def encode(image: object) -> torch.Tensor:
        encoded.append(image)
        return torch.ones(256, 4, dtype=torch.float16)

    cache = FeatureCache(tmp_path / "f", encode)
    assert torch.equal(cache.get(chats[0]), cache.get(chats[1]))  # one image
    assert len(encoded) == 1


def spoil(answers: tuple[str, ...]) -> Chat:
    turns = tuple(message for text in answers for message in one_turn("Where?", text))
    return Chat(IMAGES / "cat.jpg", turns, "line 7")


FAULTS = [
    pytest.param(("<seg>a</seg>", "<seg>b</seg>"), "line 7.*one question", id="two questions"),
    pytest.param(("It is red.",), "line 7.*no mask", id="no mask"),
    pytest.param(("<seg>others *16</seg>",), "line 7.*16x16", id="another grid"),
]


@pytest.mark.parametrize(("answers", "match"), FAULTS)
def test_what_nano_cannot_learn_is_named(answers: tuple[str, ...], match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_questions([spoil(answers)], format_name="sd", grid=GridShape(16, 16))
