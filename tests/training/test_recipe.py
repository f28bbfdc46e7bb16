"""Recipes are checked: every key, every kind, every bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from text4seg.core.errors import InputError, Text4SegError, UnknownNameError
from text4seg.training.recipe import load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
NEEDED = ("model.folder=m", "data.train=t.jsonl")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text("")
    return file


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_the_recipes_are_recipes_and_say_what_to_expect(file: Path) -> None:
    recipe = load_recipe(file, NEEDED)
    assert recipe.expected
    assert recipe.lora.rank == (0 if file.stem.startswith("nano") else 64)
    assert recipe.training.learning_rate == pytest.approx(2e-4)


def test_set_changes_a_key(empty: Path) -> None:
    changes = (*NEEDED, "training.steps=7", 'report.to=["trackio"]', "training.epochs=2")
    recipe = load_recipe(empty, changes)
    assert recipe.training.steps == 7
    assert recipe.training.epochs == 2.0
    assert recipe.report.to == ("trackio",)
    assert recipe.model.folder == "m"


FAULTS = [
    pytest.param("training.learning_rat=1", UnknownNameError, "did you mean.*learning_rate",
                 id="a typing error"),
    pytest.param("trainin.steps=1", UnknownNameError, "did you mean 'training'", id="a section"),
    pytest.param("training.steps=many", InputError, "training.steps.*int.*many", id="a word"),
    pytest.param("training.steps=true", InputError, "training.steps", id="yes for a number"),
    pytest.param("training.batch=0", InputError, "at least 1", id="no sample"),
    pytest.param("training.learning_rate=-1", InputError, "above 0", id="learning backwards"),
    pytest.param("training.learning_rate=nan", InputError, "above 0", id="no number"),
    pytest.param("lora.dropout=1", InputError, "below 1", id="nothing left"),
    pytest.param("model.quantize=8bit", UnknownNameError, "none, 4bit", id="another quantization"),
    pytest.param("data.format=png", UnknownNameError, "rrle", id="no format"),
    pytest.param("data.layout=folder", UnknownNameError, "mask-pairs", id="no layout"),
    pytest.param("data.hold_out=1.0", InputError, "below 1", id="nothing to learn from"),
    pytest.param("training.interpolate_on=0.6", InputError, "at most 0.5", id="most images"),
    pytest.param("training.interpolate_on=-0.1", InputError, "at least 0", id="less than none"),
    pytest.param("data.grid=16", InputError, "16", id="half a grid"),
    pytest.param("training=5", InputError, "section", id="a value for a section"),
    pytest.param("output.folder=x", InputError, "output", id="a section for a value"),
    pytest.param("report.to=tensorboard", InputError, "list", id="a word for a list"),
    pytest.param("model.folder=", InputError, "model.folder", id="no model"),
    pytest.param("steps", InputError, "section.key=value", id="no equals sign"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "match"), FAULTS)
def test_a_fault_is_named(empty: Path, change: str, error: type[Text4SegError], match: str) -> None:
    with pytest.raises(error, match=match):
        load_recipe(empty, (*NEEDED, change))


def test_what_is_no_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(file)
    file.write_text("a = ")
    with pytest.raises(InputError, match="not TOML"):
        load_recipe(file)
