"""A trained folder says what made it."""

from __future__ import annotations

import json
from pathlib import Path

from text4seg.training.chats import Chat
from text4seg.training.model_card import render_card, sha256, versions, write_model_card
from text4seg.training.recipe import DataSection, ModelSection, Recipe
from text4seg.training.tuner import TrainResult


def make_result(folder: Path, **fields: object) -> TrainResult:
    before = {"present": {"grid_iou": 0.25, "miss_rate": None, "n_acc": None}}
    after = {"present": {"grid_iou": 0.5, "miss_rate": 0.125, "n_acc": None}}
    given = {"steps": 7, "seconds": 1.26, "loss": 0.5, "before": before, "after": after}
    return TrainResult(folder, **{**given, **fields})  # type: ignore[arg-type]


def test_the_card_and_the_provenance_are_written(tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text("{}")
    recipe = Recipe(model=ModelSection("models/toy"), data=DataSection(str(train), grid="8x8"))
    chats = [Chat(Path(name), (), "") for name in ("a.jpg", "a.jpg", "b.jpg")]
    result = make_result(tmp_path, details={"aliases": {"hose": "pants"}}, notes=("reads hose",))
    write_model_card(recipe, result, chats)
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert (record["samples"], record["images"], record["seconds"]) == (3, 2, 1.3)
    assert record["aliases"] == {"hose": "pants"}
    assert record["data"] == {str(train): sha256(train)}
    card = (tmp_path / "README.md").read_text()
    assert card == render_card(record)
    assert "Fine-tuned from `toy` on 3 answers" in card
    assert "grid 8x8" in card
    assert "| present | 0.500 | 0.250 | 0.125 | – | – | – |" in card
    assert "- reads hose" in card


def test_a_run_without_a_validation_says_so(tmp_path: Path) -> None:
    write_model_card(Recipe(), make_result(tmp_path, before={}, after={}), [])
    assert "It was not validated." in (tmp_path / "README.md").read_text()


def test_a_folder_s_hash_changes_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    first = sha256(tmp_path)
    assert sha256(tmp_path) == first
    (tmp_path / "b.png").write_bytes(b"1")
    assert sha256(tmp_path) != first


def test_versions_are_those_of_the_installed_packages() -> None:
    assert versions()["text4seg"]
