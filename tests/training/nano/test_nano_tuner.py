"""nano learns by a recipe, too: it sees more of a user's masks, and knows a user's words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("trl")

from text4seg.cli import main
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import GridShape
from text4seg.models.nano.nano_model import NanoModel
from text4seg.segmenter import Segmenter
from text4seg.training.chats import Chat, one_turn, read_chats
from text4seg.training.finetune import train
from text4seg.training.nano import new_names
from text4seg.training.nano.finetune_data import (
    Augmentation,
    FeatureCache,
    FineTuneData,
    read_questions,
)
from text4seg.training.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "examples" / "photos"
nano = [pytest.mark.nano, pytest.mark.usefixtures("nano_parts")]


def recipe(*more: str) -> Recipe:
    data = (f"data.train={IMAGES / 'examples.jsonl'}", f"data.images={IMAGES}")
    return load_recipe(ROOT / "recipes" / "nano-own-data.toml", (*data, *more))


NAMES = [
    pytest.param("the dog", "dog", id="an article"),
    pytest.param("All of the Running Shoes", "running shoes", id="capitals"),
    pytest.param("a cup", "cup", id="another article"),
    pytest.param("the left dog", None, id="one of several"),
    pytest.param("the dog that sleeps on the sofa", None, id="a sentence"),
    pytest.param("the cup and the plate", None, id="two things"),
    pytest.param("the", "the", id="an article alone"),
]


@pytest.mark.parametrize(("expression", "name"), NAMES)
def test_an_expression_is_a_name_or_not(expression: str, name: str | None) -> None:
    assert new_names.name_of(expression) == name


def test_names_are_those_of_several_images() -> None:
    found = [("cup", 1), ("cup", 1), ("dog", 1), ("dog", 2)]
    assert new_names.frequent_names(found) == ["dog"]


def questions_of(given: Recipe) -> tuple[list[Chat], list]:
    chats = read_chats(given.data.train, given.data)
    shape = GridShape.parse(given.data.grid)
    return chats, read_questions(chats, format_name=given.data.format, grid=shape)


@pytest.mark.parametrize("change", ["data.grid=16x16", "data.grid=32x32", "data.format=rrle"])
def test_chats_become_cells(change: str) -> None:
    chats, questions = questions_of(recipe(change))
    assert len(questions) == len(chats) == 11
    assert [q.image for q in questions] == sorted(q.image for q in questions)
    cat, dog = questions[:2]
    assert (cat.name, dog.name) == ("cat", "dog")
    assert 20 < float(cat.cells.sum()) < 256
    assert not dog.cells.any()


def test_a_batch_is_the_same_for_the_same_seed_and_moved_with_its_image() -> None:
    _, questions = questions_of(recipe())
    images = 1 + max(q.image for q in questions)
    features = torch.rand(images, 256, 2048)
    lessons = FineTuneData(questions, features, ["cat", "dog", "unasked"])
    plain, first, again = (lessons.batch([0, 1, 5], s) for s in (None, (7,), (7,)))
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.cells, again.cells)
    assert not torch.equal(first.features, plain.features)
    torch.testing.assert_close(plain.features[0], features[0])
    assert plain.annotated[0].tolist() == [True, True, False]
    assert torch.equal(plain.names[0, :, 0] > 0, plain.cells[0] > 0)


def test_a_mirrored_image_has_its_cells_and_words_mirrored() -> None:
    still = Augmentation(torch.tensor([True]), torch.ones(1), torch.zeros(1, 2))
    cells = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(still.apply(cells), cells.flip(3))
    chat = Chat(IMAGES / "cat.jpg", one_turn("Segment the left cat.", "x"), "", "the left cat")
    from text4seg.training.nano.finetune_data import _swap

    assert _swap(chat.expression) == "the right cat"
    assert _swap("the right of the left cat") == "the left of the right cat"


def test_what_was_seen_is_kept(tmp_path: Path) -> None:
    chats, _ = questions_of(recipe())
    looked = []

    def look(image: object) -> torch.Tensor:
        looked.append(image)
        return torch.ones(256, 4, dtype=torch.float16)

    sights = FeatureCache(tmp_path / "f", look)
    assert torch.equal(sights.of(chats[0]), sights.of(chats[1]))  # one image
    assert len(looked) == 1


def spoil(answers: tuple[str, ...]) -> Chat:
    turns = tuple(message for text in answers for message in one_turn("Where?", text))
    return Chat(IMAGES / "cat.jpg", turns, "line 7")


FAULTS = [
    pytest.param(("<seg>a</seg>", "<seg>b</seg>"), "line 7.*one question", id="two questions"),
    pytest.param(("It is red.",), "line 7.*no mask", id="no mask"),
    pytest.param(("<seg>others *16</seg>",), "line 7.*16x16", id="another grid"),
]


@pytest.mark.parametrize(("answers", "match"), FAULTS)
def test_what_nano_cannot_learn_is_named(answers: tuple[str, ...], match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_questions([spoil(answers)], format_name="sd", grid=GridShape(16, 16))


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_new_names_leave_the_old_ones_as_they_were() -> None:
    chat = NanoModel.load()
    fusion, known = chat.model.fusion, len(chat.model.config.names)
    features = torch.rand(1, 256, chat.model.config.vision_channels)
    with torch.inference_mode():
        before = fusion.encode_image(features).names
    some = chat.model.config.names[0]
    words = [some, "zorble", "left sock"]
    added = new_names.add_names(chat.model, chat.text.tokenizer, words, chat.embed)
    assert added == ["zorble", "left sock"]
    with torch.inference_mode():
        after = fusion.encode_image(features).names
    torch.testing.assert_close(after[..., :known], before)
    assert after.shape[-1] == known + 2
    assert new_names.add_names(chat.model, chat.text.tokenizer, ["zorble"], chat.embed) == []


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
