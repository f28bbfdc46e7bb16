"""nano is fine-tuned by a recipe: on a user's masks, with a user's names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("trl")

from text4seg.cli import main
from text4seg.core.run_lengths import mask_to_rle
from text4seg.models.nano.nano_model import NanoModel
from text4seg.segmenter import Segmenter
from text4seg.training.finetune import train
from text4seg.training.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "examples" / "photos"
nano = [pytest.mark.nano, pytest.mark.usefixtures("nano_parts")]


def recipe(*more: str) -> Recipe:
    data = (f"data.train={IMAGES / 'examples.jsonl'}", f"data.images={IMAGES}")
    return load_recipe(ROOT / "recipes" / "nano-own-data.toml", (*data, *more))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Two images in a user's own words, and a recipe of few steps.

    What is a zorble nano knows by other names; a wug is a corner of the image, which has none.
    """
    monkeypatch.chdir(tmp_path)
    lines = [json.loads(line) for line in (IMAGES / "examples.jsonl").read_text().splitlines()]
    present = {line["image"]: line for line in lines if line["mask"] is not None}
    things = list(present.values())[:2]
    chosen = [{**line, "expression": "the zorble"} for line in things]
    for line in things:
        corner = np.zeros(line["mask"]["size"], dtype=bool)
        corner[: len(corner) // 8, : corner.shape[1] // 8] = True  # four cells of 16x16
        chosen.append({**line, "expression": "the wug", "mask": mask_to_rle(corner)})
    Path("own.jsonl").write_text("\n".join(map(json.dumps, chosen)))
    Path("one.jsonl").write_text(json.dumps(chosen[0]))
    return (
        "data.train=own.jsonl", "data.validation=one.jsonl", f"data.images={IMAGES}",
        "training.steps=2", "training.batch=2", "training.device_batch=2", "training.save_every=1",
        "output=run", "report.every=1",
    )  # fmt: skip


@pytest.mark.slow  # the tutorial's test is the quick one
@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_nano_learns_own_words_and_is_loaded_again(
    own: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(ROOT / "recipes" / "nano-own-data.toml")
    assert main(["train", file, *(word for change in own for word in ("--set", change))]) == 0
    told = capsys.readouterr()
    assert "IoU before" in told.out
    chat = NanoModel.load(Path("run/merged"))
    assert chat.model.config.names == [*NanoModel.load().model.config.names, "wug", "zorble"]
    (name,) = chat.model.config.aliases.values()
    assert json.loads(Path("run/provenance.json").read_text())["aliases"] == {"zorble": name}
    assert f"- reads zorble as {name}" in Path("run/README.md").read_text()
    assert f"reads zorble as {name}" in told.out + told.err
    shipped = NanoModel.load().model
    trained = dict(chat.model.named_parameters())
    changed = {n for n, p in shipped.named_parameters() if p.shape != trained[n].shape
               or not torch.equal(p, trained[n])}  # fmt: skip
    assert changed
    # A new name may be an answer in words, too.
    assert {name for name in changed if not name.startswith("fusion.")} == {"vqa_head.name_offset"}
    answer = Segmenter(chat)(str(IMAGES / "cat.jpg"), "the zorble")
    assert answer.grid.cells.shape == (16, 16)


@pytest.mark.slow
@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_nano_goes_on_where_it_was_stopped(own: tuple[str, ...]) -> None:
    changes = (*own, "training.steps=4", "training.save_every=2")

    def crash(step: int, steps: int, *_: object) -> None:
        if (step, steps) == (3, 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(*changes), progress=crash)
    train(recipe(*changes))
    straight = train(recipe(*changes, "output=straight"))
    assert straight.steps == 4
    models = [NanoModel.load(Path(name) / "merged").model for name in ("run", "straight")]
    for resumed, whole in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(resumed, whole, rtol=1e-2, atol=1e-3)


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_the_plan_of_nano(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "recipes" / "nano-own-data.toml")
    changes = [f"data.train={IMAGES / 'examples.jsonl'}", f"data.images={IMAGES}"]
    words = [word for change in changes for word in ("--set", change)]
    assert main(["train", file, *words, "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["samples"] == 11
    assert plan["images"] == 3
    assert 0 < plan["trained"] < plan["parameters"]
    assert plan["hours"] > 0
    assert main(["train", file, *words, "--plan", "--set", "loss.digits=2.0"]) == 1
    assert "loss.digits=1.0" in capsys.readouterr().err
