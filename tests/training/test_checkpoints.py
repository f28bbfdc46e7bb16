"""Only finished checkpoints count, and a folder belongs to one recipe."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("transformers")

from text4seg.core.errors import InputError
from text4seg.training.checkpoints import (
    FOLDER,
    MARK,
    MarkFinished,
    last_finished,
    lock_output_dir,
)
from text4seg.training.recipe import Recipe, TrainingSection


def make_checkpoint(output: Path, step: int, *, finished: bool = True) -> Path:
    folder = output / FOLDER / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if finished:
        (folder / MARK).touch()
    return folder


def test_the_newest_finished_checkpoint_is_found(tmp_path: Path) -> None:
    assert last_finished(tmp_path) is None
    make_checkpoint(tmp_path, 9)
    newest = make_checkpoint(tmp_path, 10)  # by number, not by name
    half = make_checkpoint(tmp_path, 11, finished=False)
    other = tmp_path / FOLDER / "checkpoint-old"
    other.mkdir()
    assert last_finished(tmp_path) == newest
    assert not half.exists()
    assert other.exists()


def test_one_process_alone_removes_what_is_half(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    half = tmp_path / FOLDER / "checkpoint-3"
    half.mkdir(parents=True)
    monkeypatch.setenv("RANK", "1")
    assert last_finished(tmp_path) is None
    assert half.is_dir()
    monkeypatch.setenv("RANK", "0")
    assert last_finished(tmp_path) is None
    assert not half.exists()


def test_a_checkpoint_is_marked_once_all_processes_have_written(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 3, finished=False)
    waited: list[bool] = []
    arguments = SimpleNamespace(
        output_dir=str(tmp_path / FOLDER),
        distributed_state=SimpleNamespace(
            wait_for_everyone=lambda: waited.append((folder / MARK).exists())
        ),
    )
    for leading in (False, True):
        state = SimpleNamespace(global_step=3, is_world_process_zero=leading)
        MarkFinished().on_save(arguments, state, None)
        assert (folder / MARK).exists() is leading
    assert waited == [False, False]


def test_a_folder_is_reserved_for_one_recipe(tmp_path: Path) -> None:
    first, other = Recipe(), Recipe(training=TrainingSection(steps=3, workers=2))
    lock_output_dir(tmp_path, first)
    lock_output_dir(tmp_path, other)  # the first left nothing to protect
    make_checkpoint(tmp_path, 1)
    lock_output_dir(tmp_path, Recipe(expected="more", training=TrainingSection(steps=3)))
    with pytest.raises(InputError, match=r"another recipe \(training\.steps differ\)"):
        lock_output_dir(tmp_path, first)
