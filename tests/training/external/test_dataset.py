"""The samples for other trainers are squares that are learned from as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from PIL import Image

from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from tests.reference.small_recipe import write_recipe
from text4seg.core.errors import InputError
from text4seg.models.defaults import ModelDefaults
from text4seg.models.hf.model import HFModel
from text4seg.training.chats import read_chats
from text4seg.training.external.dataset import family_and_side, write_samples
from text4seg.training.recipe import load_recipe


def test_the_samples_are_squares_that_are_learned_from(tmp_path: Path) -> None:
    base, out = build("llava", tmp_path / "base", small_tokenizer()), tmp_path / "out"
    recipe = load_recipe(write_recipe(tmp_path, base), {"data.limit": 4})
    assert write_samples(recipe, out) == 4
    prompter = HFModel.load(base).prompter
    assert ModelDefaults.load(out) == recipe.data.defaults(square=prompter.side)
    entry = json.loads((out / "dataset_info.json").read_text())["text4seg"]
    given = read_chats(recipe.data.train, recipe.data)
    written = read_chats(out / entry["file_name"], recipe.data)
    for before, after in zip(given, written, strict=True):
        assert before.messages == after.messages
        square = prompter.square(before.open_image())
        assert square.tobytes() == Image.open(after.image).tobytes()
    assert len(list((out / "images").iterdir())) == len({chat.image for chat in given})
    with pytest.raises(InputError, match="not empty"):
        write_samples(recipe, out)


def test_the_recipe_s_side_comes_before_the_model_s(tmp_path: Path) -> None:
    base = build("llava", tmp_path / "base", small_tokenizer())
    file = write_recipe(tmp_path, base)
    ModelDefaults(square=48).save(base)
    family, side = family_and_side(load_recipe(file))
    assert family is not None
    assert (family.name, side) == ("LLaVA-1.5", 48)
    assert family_and_side(load_recipe(file, {"model.side": 64}))[1] == 64
