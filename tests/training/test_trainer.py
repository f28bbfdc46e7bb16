"""The loss with weights, and the errors and settings of both trainers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("trl")

from text4seg.core.errors import InputError
from text4seg.training.chats import Chat
from text4seg.training.recipe import Recipe, TrainingSection
from text4seg.training.trainer import (
    TrainingError,
    check_finite,
    linear_modules,
    shared_settings,
    weighted_loss,
)


def test_the_loss_is_weighted_and_divided_by_the_labels() -> None:
    def model(**_: Any) -> SimpleNamespace:
        return SimpleNamespace(
            log_probs=torch.tensor([[-1.0, -2.0, 0.0]]), label_mask=torch.tensor([[1, 1, 0]])
        )

    weights = torch.tensor([[9.0, 1.0, 3.0, 0.0]])  # the first token is never predicted
    assert float(weighted_loss(model, {}, weights, None)[0]) == (1 + 6) / 2
    assert float(weighted_loss(model, {}, weights, 7)[0]) == 1.0
    assert float(weighted_loss(model, {}, torch.ones(1, 4), None)[0]) == 1.5


def test_a_loss_that_is_not_finite_names_its_samples() -> None:
    chats = [Chat(Path("a.jpg"), (), f"line {number}") for number in range(3)]
    check_finite(torch.tensor(1.0), None, chats, 0)
    with pytest.raises(TrainingError, match="inf at step 5 on line 2; line 0;"):
        check_finite(torch.tensor(float("inf")), torch.tensor([2, 0]), chats, 4)
    with pytest.raises(TrainingError, match="nan at step 1; the last"):
        check_finite(torch.tensor(float("nan")), None, [], 0)


def test_linear_layers_of_the_language_model_and_the_projector_are_found() -> None:
    model = torch.nn.ModuleDict({
        "language": torch.nn.ModuleDict({
            "q": torch.nn.Linear(2, 2), "norm": torch.nn.LayerNorm(2),
        }),
        "projector": torch.nn.Linear(2, 2),
        "vision": torch.nn.Linear(2, 2),
        "language_head": torch.nn.Linear(2, 2),
    })  # fmt: skip
    family: Any = SimpleNamespace(language="language", projector="projector")
    assert linear_modules(model, family) == ["language.q", "projector"]


def test_settings_follow_the_recipe_and_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingSection(epochs=2.0, batch=8, device_batch=2, warmup=0.1)
    recipe = Recipe(training=training)
    settings = shared_settings(recipe, Path("run"), samples=80)
    assert (settings["max_steps"], settings["warmup_steps"], settings["save_steps"]) == (20, 2, 2)
    assert settings["gradient_accumulation_steps"] == 4
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert shared_settings(recipe, Path("run"), 80)["gradient_accumulation_steps"] == 2
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="multiple"):
        shared_settings(recipe, Path("run"), 80)
