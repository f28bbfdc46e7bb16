"""A training through failure: crashes, kills, bad numbers, full disks."""

from __future__ import annotations

import errno
import json
import multiprocessing
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl")

from safetensors.torch import load_file

import text4seg
from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from tests.reference.small_recipe import IMAGES, write_recipe
from text4seg.core.errors import InputError, OutputError
from text4seg.core.types import GridShape
from text4seg.models.defaults import ModelDefaults
from text4seg.models.hf.model import HFModel
from text4seg.training import tune_hf
from text4seg.training.checkpoints import FOLDER, last_finished
from text4seg.training.finetune import check_trackers, train
from text4seg.training.recipe import Recipe, load_recipe
from text4seg.training.trainer import MaskTrainer, TrainingError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("smolvlm", tmp_path_factory.mktemp("base"), small_tokenizer())


@pytest.fixture
def file(base: Path, tmp_path: Path) -> Path:
    return write_recipe(tmp_path, base)


def recipe_for(file: Path, output: Path, *more: str) -> Recipe:
    return load_recipe(file, (f"output={output}", *more))


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "adapter" / "adapter_model.safetensors")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The numbers of the samples of every micro-batch that was computed."""
    seen: list[list[int]] = []
    plain = MaskTrainer.compute_loss

    def noting(self: MaskTrainer, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any):
        seen.append(inputs["sample_index"].tolist())
        return plain(self, model, inputs, *rest, **named)

    monkeypatch.setattr(MaskTrainer, "compute_loss", noting)
    return seen


def test_a_run_that_crashed_goes_on_as_if_it_had_not(
    file: Path, tmp_path: Path, drawn: list[list[int]]
) -> None:
    whole = train(recipe_for(file, tmp_path / "whole"))
    straight, drawn[:] = list(drawn), []

    def crash(step: int, *_: Any) -> None:
        if step == 5:
            raise KeyboardInterrupt

    output = tmp_path / "crashed"
    with pytest.raises(KeyboardInterrupt):
        train(recipe_for(file, output), progress=crash)
    half = output / FOLDER / "checkpoint-5"
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_')
    before, drawn[:] = list(drawn), []
    resumed = train(recipe_for(file, output))
    assert not half.exists()
    assert resumed.steps == whole.steps == 6
    assert before[:8] + drawn == straight  # two micro-batches a step, from step 4 on
    for name, value in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weights(output)[name], value)
    told = json.loads((output / "provenance.json").read_text())
    assert told["samples"] == 11
    assert told["versions"]["trl"]
    assert len(next(iter(told["data"].values()))) == 64


def test_train_validates_without_the_command_line(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[tuple[int, int]] = []
    overrides = {
        "output": str(tmp_path / "run"),
        "training.steps": 1,
        "data.validation": str(IMAGES / "examples.jsonl"),
    }
    result = text4seg.train(
        file, overrides, on_answer=lambda count, total: answers.append((count, total))
    )
    assert answers == [(count, 11) for count in (*range(1, 12), *range(1, 12))]
    assert result.before.keys() == result.after.keys() == {"present", "absent", "all"}
    assert 0 <= result.after["present"]["grid_iou"] <= 1
    told = json.loads((result.folder / "provenance.json").read_text())
    assert told["after"]["all"]["grid_iou"] == result.after["all"]["grid_iou"]
    assert "present, missed" in (result.folder / "README.md").read_text()
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="a recipe already"):
        text4seg.train(load_recipe(file), {"training.steps": 2})


def test_a_tracker_that_is_not_there_is_told_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "text4seg.training.finetune.find_spec", lambda name: name != "trackio" or None
    )
    check_trackers(["tensorboard", "none", "all"])
    with pytest.raises(InputError, match=r"trackio, not installed.*pip install trackio"):
        check_trackers(["tensorboard", "trackio"])


def test_a_loss_that_is_no_number_names_the_samples(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = tune_hf.Collator.batch, []

    def spoilt(self: Any, chats: Any) -> Any:
        batch = plain(self, chats)
        calls.append([chat.source for chat in chats])
        if len(calls) == 7:  # in step 4, after the checkpoint of step 2
            batch["pixel_values"][0] = float("nan")
        return batch

    monkeypatch.setattr(tune_hf.Collator, "batch", spoilt)
    with pytest.raises(TrainingError, match="nan at step 4 on") as caught:
        train(recipe_for(file, tmp_path / "run"))
    assert all(source in str(caught.value) for source in calls[6])
    kept = last_finished(tmp_path / "run")
    assert kept is not None
    assert kept.name == "checkpoint-2"


FAULTS = [
    pytest.param(torch.OutOfMemoryError("CUDA out of memory"), InputError,
                 "halve training.device_batch", id="memory"),
    pytest.param(OSError(errno.ENOSPC, "No space left on device"), OutputError,
                 "disk is full", id="disk"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "error", "match"), FAULTS)
def test_what_is_full_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, error: Any, match: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(MaskTrainer, "_save_checkpoint", fail)
    with pytest.raises(error, match=match):
        train(recipe_for(file, tmp_path / "run"))


def test_another_recipe_in_the_same_folder_is_refused(file: Path, tmp_path: Path) -> None:
    train(recipe_for(file, tmp_path / "run", "training.steps=1"))
    with pytest.raises(InputError, match=r"training\.steps differ"):
        train(recipe_for(file, tmp_path / "run"))


def test_weights_change_the_loss_and_ones_do_not(file: Path, tmp_path: Path) -> None:
    one_step = ("training.steps=1", "lora.dropout=0")
    plain = train(recipe_for(file, tmp_path / "a", *one_step))
    ones = train(recipe_for(file, tmp_path / "b", *one_step, "loss.digits=1.0000001"))
    heavy = train(recipe_for(file, tmp_path / "c", *one_step, "loss.digits=3"))
    assert ones.loss == pytest.approx(plain.loss, rel=1e-4)
    assert heavy.loss != pytest.approx(plain.loss, rel=1e-2)


def test_modules_are_trained_without_an_adapter(file: Path, tmp_path: Path) -> None:
    trained = train(recipe_for(file, tmp_path / "run", "training.steps=1", "lora.rank=0"))
    assert not (trained.folder / "adapter").exists()
    assert (trained.folder / "merged" / "model.safetensors").is_file()


@pytest.mark.parametrize("grid", ["8x8", "32x32"])
def test_the_trained_grid_is_the_default_of_the_folder(
    file: Path, tmp_path: Path, grid: str
) -> None:
    taught = ("training.steps=1", f"data.grid={grid}", "data.format=rle", "model.side=64")
    trained = train(recipe_for(file, tmp_path / "run", *taught))
    expected = ModelDefaults("rle", GridShape.parse(grid), 64)
    for part in ("adapter", "merged"):
        assert ModelDefaults.load(trained.folder / part) == expected
    assert HFModel.load(trained.folder / "merged").defaults == expected


def run_noting(file: str, changes: tuple[str, ...], notes: str) -> None:
    """In a process of its own: train, and note the step and the samples of every micro-batch."""
    plain = MaskTrainer.compute_loss

    def noting(self: MaskTrainer, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any):
        with Path(notes).open("a") as lines:
            print(json.dumps([self.state.global_step, inputs["sample_index"].tolist()]), file=lines)
        return plain(self, model, inputs, *rest, **named)

    MaskTrainer.compute_loss = noting  # type: ignore[method-assign]
    with Path(notes).open("a") as lines:
        print(json.dumps([-1, []]), file=lines)  # a process begins
    train(load_recipe(file, changes))


def order(notes: Path) -> list[list[Any]]:
    """Step by step, what was drawn the last time that the step was computed."""
    steps: dict[int, list[Any]] = {}
    last = None
    for line in notes.read_text().splitlines():
        step, samples = json.loads(line)
        if step != last and step >= 0:
            steps[step] = []  # computed again after a kill: what counts is the last time
        last = step
        if step >= 0:
            steps[step].append(samples)
    return [steps[step] for step in sorted(steps)]


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # so that a run does not begin with imports
    more = ("training.steps=40", "training.save_every=2")

    def start(output: str) -> Any:
        changes = (f"output={tmp_path / output}", *more)
        notes = str(tmp_path / f"{output}.jsonl")
        process = context.Process(target=run_noting, args=(str(file), changes, notes))
        process.start()
        return process

    start("warm").join()
    started = time.monotonic()
    process = start("whole")
    process.join()
    length = time.monotonic() - started
    assert process.exitcode == 0
    dice, kills, dead, whole_runs = random.Random(7), 0, set(), 0
    while kills < 20 or process.exitcode != 0:
        process = start("run")
        process.join(dice.uniform(0.1, 0.5) * length if kills < 20 else None)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
            kept = last_finished(tmp_path / "run")
            dead.add(kept.name if kept else None)
            continue
        assert process.exitcode == 0
        assert order(tmp_path / "run.jsonl") == order(tmp_path / "whole.jsonl")
        assert len(order(tmp_path / "run.jsonl")) == 40
        for name, value in weights(tmp_path / "whole").items():
            torch.testing.assert_close(weights(tmp_path / "run")[name], value)
        whole_runs += 1
        (
            tmp_path / "run.jsonl"
        ).unlink()  # and from the beginning, until it was killed often enough
        shutil.rmtree(tmp_path / "run")
    print(f"{kills} kills, {whole_runs} runs of {length:.1f} s, after {sorted(map(str, dead))}")
    assert len(dead) > 3  # it was killed at different places
    assert whole_runs >= 1
