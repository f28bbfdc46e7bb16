"""A model is trained in the way of its kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")

from text4seg.core.errors import MissingExtraError
from text4seg.training import tuner
from text4seg.training.nano.nano_tuner import NanoTuner
from text4seg.training.tune_hf import HFTuner
from text4seg.training.tuner import Estimate, find_tuner


def test_the_way_to_train_is_found_by_the_model(tmp_path: Path) -> None:
    assert find_tuner("nano") is NanoTuner
    for model_type, expected in {"text4seg-nano": NanoTuner, "llava": HFTuner}.items():
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        assert find_tuner(str(tmp_path)) is expected


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(dict[str, object]):
        def __getitem__(self, name: str) -> object:
            raise ModuleNotFoundError(name="trl")

    monkeypatch.setattr(tuner, "TUNERS", Broken())
    with pytest.raises(MissingExtraError, match="trl"):
        find_tuner("nano")


def test_the_memory_is_the_sum_of_its_parts() -> None:
    sizes = {"weights": 1.0, "adapter": 2.0, "activations": 4.0}
    counts = dict.fromkeys(("samples", "images", "steps", "longest", "parameters", "trained"), 1)
    rest = {"tokens": 1.0, "loss_share": 0.5, "tera_operations": 1.0, "hours": 1.0, "device": "d"}
    assert Estimate(**counts, **sizes, **rest).memory == 7.0  # type: ignore[arg-type]
