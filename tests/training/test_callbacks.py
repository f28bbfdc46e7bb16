"""Figures and pictures of validation reach the tracker; trackio's module is a stand-in here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("trl")

from text4seg.training.callbacks import ValidationCallback
from text4seg.training.recipe import load_recipe
from text4seg.training.tuner import ValidationResult


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], int | None]]:
    """What a stand-in for trackio's module was told."""
    told: list[tuple[dict[str, Any], int | None]] = []
    module = ModuleType("trackio")
    module.log = lambda figures, step=None: told.append((figures, step))  # type: ignore[attr-defined]
    module.Image = np.asarray  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", module)
    return told


def test_trackio_gets_the_figures_and_the_pictures(
    tmp_path: Path, logged: list[tuple[dict[str, Any], int | None]]
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("")
    recipe = load_recipe(
        file,
        ("model.folder=m", "data.train=t.jsonl", f"output={tmp_path / 'run'}",
         'report.to=["trackio"]', "report.validate_every=2"),
    )  # fmt: skip
    figures = {"present": {"grid_iou": 0.5, "questions": 3, "name": "no number"}}
    picture = Image.new("RGB", (4, 3), "red")
    watching = ValidationCallback(
        recipe, lambda: "chat", lambda _: ValidationResult(figures, [("0", picture)])
    )  # type: ignore[arg-type, return-value]
    said: list[dict[str, float]] = []
    control = SimpleNamespace(should_log=True)

    def log(figures: dict[str, float]) -> None:
        said.append(figures)
        control.should_log = False  # as transformers does

    watching.trainer = SimpleNamespace(log=log, callback_handler=SimpleNamespace(callbacks=[]))
    model = SimpleNamespace(training=True, train=lambda _: None)
    for step in (1, 2, 3):
        state = SimpleNamespace(global_step=step, is_world_process_zero=True)
        watching.on_step_end(None, state, control, model=model)
        assert control.should_log  # the loss of this step is still to be logged, by all processes
    # The trainer's log is what transformers' own callback hands to trackio.
    assert said == [{"validation/present/grid_iou": 0.5, "validation/present/questions": 3.0}]
    ((shown, step),) = logged
    assert step == 2
    assert shown["validation/0"].shape == (3, 4, 3)
    assert (tmp_path / "run" / "overlays" / "0-000002.png").is_file()
