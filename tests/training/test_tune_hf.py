"""Hugging Face models are loaded, trained and saved as the recipe says; more in test_finetune."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")

from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from tests.reference.small_recipe import write_recipe
from text4seg.core.errors import InputError
from text4seg.training.chats import read_chats
from text4seg.training.recipe import Recipe, load_recipe
from text4seg.training.tune_hf import HFTuner, as_dataset, copy_processor, trainer_settings


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return load_recipe(
        write_recipe(tmp_path, build("smolvlm", tmp_path / "base", small_tokenizer()))
    )


def test_the_model_is_asked_as_it_will_be_saved(recipe: Recipe) -> None:
    tuner = HFTuner(recipe)
    assert tuner.model().defaults.grid == recipe.data.defaults().grid
    assert tuner.report() == ({}, ())
    chats = read_chats(recipe.data.train, recipe.data)[:2]
    assert "loss_weights" not in tuner.collator().batch(chats)
    assert as_dataset(chats)["number"][:] == [0, 1]


def test_settings_that_are_nano_s_alone_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    with pytest.raises(InputError, match="nano alone"):
        HFTuner(load_recipe(file, {"training.interpolate_on": 0.2}))


def test_the_settings_are_those_of_the_recipe(recipe: Recipe, tmp_path: Path) -> None:
    settings = trainer_settings(recipe, tmp_path, samples=11)
    assert not settings.bf16
    assert settings.max_steps == 6
    assert settings.max_length is None  # a mask is never cut off


def test_the_processor_is_copied_without_the_weights(recipe: Recipe, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    copy_processor(Path(recipe.model.folder), target)
    names = {file.name for file in target.iterdir()}
    assert "tokenizer.json" in names
    assert not names & {"config.json", "model.safetensors", "text4seg.json"}
