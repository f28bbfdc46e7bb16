"""What a recipe takes is counted before any weights are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")

from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from tests.reference.small_recipe import write_recipe
from text4seg.core.errors import WeightsError
from text4seg.models.hf.loading import load_folder
from text4seg.training import estimate as module
from text4seg.training.estimate import estimate, measure_speed, to_hours
from text4seg.training.recipe import load_recipe
from text4seg.training.tuner import Estimate


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("smolvlm", tmp_path_factory.mktemp("base"), small_tokenizer())


def test_parameters_are_those_of_the_model_and_settings_change_the_sizes(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure_speed", lambda: ("a device", 1e9))
    file = write_recipe(tmp_path, base)

    def of(**changes: object) -> Estimate:
        return estimate(
            load_recipe(file, {key.replace("__", "."): v for key, v in changes.items()})
        )

    plain = of()
    assert (plain.samples, plain.images, plain.steps, plain.device) == (11, 3, 6, "a device")
    assert plain.parameters == load_folder(base).model.num_parameters()
    assert 0 < plain.loss_share < 1
    assert of(lora__rank=4).trained == 2 * plain.trained
    assert of(lora__rank=0).trained > plain.trained
    assert of(model__quantize="4bit").weights < plain.weights
    assert of(training__gradient_checkpointing=True).activations < plain.activations
    assert of(training__steps=12).hours == pytest.approx(2 * plain.hours)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        estimate(load_recipe(write_recipe(tmp_path, tmp_path / "nowhere")))


def test_the_speed_is_measured() -> None:
    name, speed = measure_speed(0.01, precision="float32")
    assert name
    assert speed > 0
    assert to_hours(3600 * speed, speed) > 1  # no training reaches the speed of one product
