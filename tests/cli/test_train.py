"""`text4seg train` on a toy: the plan, the table, the tracker, the commands of the docs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

pytest.importorskip("trl")

from safetensors.torch import load_file

from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from tests.reference.small_recipe import IMAGES, write_recipe
from text4seg.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("smolvlm", tmp_path_factory.mktemp("base"), small_tokenizer())


@pytest.fixture
def file(base: Path, tmp_path: Path) -> Path:
    return write_recipe(tmp_path, base)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "adapter" / "adapter_model.safetensors")


def test_the_verb(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", f"output={tmp_path / 'run'}", "--set", "training.steps=1",
               "--set", f"data.validation={IMAGES / 'examples.jsonl'}"]  # fmt: skip
    assert main(["train", str(file), *changes, "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["samples"] == 11
    assert plan["images"] == 3
    assert plan["steps"] == 1
    assert 0 < plan["trained"] < plan["parameters"]
    assert 0 < plan["loss_share"] < 1
    assert not (tmp_path / "run").exists()
    assert main(["train", str(file), *changes, "--plan"]) == 0
    assert "hours" in capsys.readouterr().out
    assert main(["train", str(file), *changes]) == 0
    out = capsys.readouterr().out
    assert "IoU before" in out
    assert "present" in out
    model = str(tmp_path / "run" / "adapter")
    image = str(IMAGES / "cat.jpg")
    assert main(["segment", image, "the cat", "--model", model, "--grid", "4x4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stats"]["format"] == "rrle"
    assert main(["train", str(file), "--commands"]) == 0
    told = capsys.readouterr()
    assert "--samples" in told.out
    assert "note: ms-swift does not know SmolVLM" in told.err


def test_validation_and_pictures_go_to_the_tracker_and_change_nothing(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def changes(output: str, *more: str) -> list[str]:
        given = (f"output={tmp_path / output}", "training.steps=4",
                 f"data.validation={IMAGES / 'examples.jsonl'}", *more)  # fmt: skip
        return [word for change in given for word in ("--set", change)]

    watched = ('report.to=["tensorboard"]', "report.validate_every=2",
               "report.questions=3", "report.pictures=1")  # fmt: skip
    assert main(["train", str(file), *changes("watched", *watched)]) == 0
    assert main(["train", str(file), *changes("plain")]) == 0
    capsys.readouterr()
    for name, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "watched")[name], value)
    events = next((tmp_path / "watched").rglob("events.out.tfevents.*")).parent
    log = EventAccumulator(str(events)).Reload()
    scalars = log.Tags()["scalars"]
    key = next(tag for tag in scalars if tag.endswith("validation/present/grid_iou"))
    assert [event.step for event in log.Scalars(key)] == [2, 4]
    loss = next(tag for tag in scalars if tag.endswith("train/loss"))
    assert [event.step for event in log.Scalars(loss)] == [1, 2, 3, 4]
    assert [event.step for event in log.Images("validation/0")] == [2, 4]
    assert len(list((tmp_path / "watched" / "overlays").glob("*.png"))) == 2


def test_the_commands_and_the_code_of_the_docs_run(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of docs/train.md, with a toy for the model, and fewer steps."""
    page = (ROOT / "docs" / "train.md").read_text()
    commands = [line for line in page.splitlines() if line.startswith("text4seg ")]
    assert len(commands) >= 3
    questions = (IMAGES / "examples.jsonl").read_text()
    for name in ("recipes", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    for image in IMAGES.glob("*.jpg"):
        (tmp_path / image.name).symlink_to(image)
    (tmp_path / "photo.jpg").symlink_to(IMAGES / "cat.jpg")
    (tmp_path / "train.jsonl").write_text(questions)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        words = shlex.split(command.replace("MODEL", str(base)))[1:]
        if words[0] == "train":
            for change in ("steps=1", "precision=float32", "batch=2"):
                words += ["--set", f"training.{change}"]
        assert main(words) == 0, command
    assert list((tmp_path / "out").glob("*.overlay.png"))
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    # The same run as that of the commands, which is finished.
    less = '"training.steps": 1, "training.precision": "float32", "training.batch": 2}'
    code = code.replace("MODEL", str(base)).replace('"train.jsonl"}', f'"train.jsonl", {less}')
    capsys.readouterr()
    exec(code, {})
    assert capsys.readouterr().out.startswith("runs/own-data ")


def test_a_bad_call_is_told(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(file), "--set", "training.step=1"]) == 2
    assert "training.steps" in capsys.readouterr().err
    assert main(["train", str(file), "--set", "model.folder=nano", "--plan"]) == 1
    assert "--set lora.rank=0" in capsys.readouterr().err
    assert main(["train", str(file), "--set", "model.folder=nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert main(["train", str(file), "--set", "model.quantize=4bit"]) == 1
    assert "CUDA" in capsys.readouterr().err
    assert main(["train", str(file), "--set", "training.batch=3"]) == 1
    assert "multiple" in capsys.readouterr().err
    assert main(["train", str(file), "--set", f"data.train={tmp_path / 'none'}"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_the_samples_of_other_trainers_are_written(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["train", str(file), "--samples", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(out), "samples": 11}
    assert main(["train", str(file), "--samples", str(out)]) == 1
    assert "not empty" in capsys.readouterr().err
