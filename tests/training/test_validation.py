"""The questions of a validation: which are asked, how they are scored and drawn."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import FakeChat
from text4seg.core.types import GridShape
from text4seg.data import read_jsonl
from text4seg.training.recipe import Recipe, load_recipe
from text4seg.training.validation import Validator, sample_evenly

IMAGES = Path(__file__).parents[2] / "examples" / "photos"
QUESTIONS = IMAGES / "examples.jsonl"


def make_recipe(folder: Path, **overrides: object) -> Recipe:
    file = folder / "recipe.toml"
    file.write_text(f'model.folder = "m"\ndata = {{ train = "t", images = "{IMAGES}" }}')
    named = {f"data.{key}": value for key, value in overrides.items()}
    return load_recipe(file, {**named, "data.grid": "4x4", "report.questions": 4})


def test_every_question_is_asked_in_the_grid_of_the_recipe(tmp_path: Path) -> None:
    model = FakeChat(shape=GridShape(4, 4), form="rrle")
    counts: list[tuple[int, int]] = []
    validator = Validator(
        make_recipe(tmp_path, validation=QUESTIONS),
        lambda count, total: counts.append((count, total)),
    )
    figures = validator.ask_all(model)
    assert set(model.grids) == {(4, 4)}
    assert counts == [(count, 11) for count in range(1, 12)]
    assert figures["all"]["questions"] == 11
    assert figures["absent"]["n_acc"] == 1.0  # the fake model leaves everything empty
    assert figures["present"]["miss_rate"] == 1.0


def test_some_questions_are_asked_and_drawn(tmp_path: Path) -> None:
    model = FakeChat(shape=GridShape(4, 4), form="rrle")
    result = Validator(make_recipe(tmp_path, validation=QUESTIONS)).ask_some(model)
    assert len(model.questions) == 4
    assert result.figures["all"]["questions"] == 4
    assert [name for name, _ in result.pictures] == [str(n) for n in range(len(result.pictures))]
    for _, picture in result.pictures:
        assert max(picture.width // 2, picture.height) == 320


def test_a_recipe_without_a_validation_has_nothing_to_ask(tmp_path: Path) -> None:
    assert not Validator(make_recipe(tmp_path))


def test_questions_are_taken_evenly() -> None:
    samples = read_jsonl(QUESTIONS, IMAGES)
    assert sum(len(sample.targets) for sample in sample_evenly(samples, 100)) == 11
    few = sample_evenly(samples, 3)
    assert sum(len(sample.targets) for sample in few) == 3
    assert len({sample.image for sample in few}) == 3
    assert sample_evenly([], 3) == []
