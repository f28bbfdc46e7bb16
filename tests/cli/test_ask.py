from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Call, is_one_sentence
from tests.segmenter.test_vqa import FakeTalker
from text4seg import models


@pytest.fixture
def talker(monkeypatch: pytest.MonkeyPatch) -> FakeTalker:
    """The fake model that every name loads."""
    model = FakeTalker(b"two")
    monkeypatch.setattr(models, "load", lambda name: model, raising=False)
    return model


def test_a_image_and_a_question(call: Call, talker: FakeTalker, image: Path) -> None:
    done = call("ask", image, "How many dogs are there?")
    assert (done.code, done.out, done.err) == (0, "two\n", "")


def test_several_are_told_apart(call: Call, talker: FakeTalker, image: Path) -> None:
    Image.new("RGB", (40, 40)).save("other.png")
    done = call("ask", image, "other.png", "-q", "How many?", "-q", "And cats?")
    assert done.out.splitlines() == [
        "image.png: How many? two",
        "image.png: And cats? two",
        "other.png: How many? two",
        "other.png: And cats? two",
    ]
    assert talker.opened == 2


def test_json_has_everything(call: Call, talker: FakeTalker, image: Path) -> None:
    (record,) = call("ask", image, "How many?", "--json").json
    assert record["image"] == "image.png"
    assert record["question"] == "How many?"
    assert (record["answer"], record["tokens"], record["finished"]) == ("two", 3, True)
    assert record["mask"] is False


def test_cut_answers_and_masks_are_told(call: Call, talker: FakeTalker, image: Path) -> None:
    talker.said = b"Here:\n<seg>others| dog</seg>"
    done = call("ask", image, "Where is it?", "--max-tokens", 12)
    assert done.out == "Here:\n[a mask]\n"
    assert "holds a mask" in done.err
    assert "cut after 12 tokens" in done.err


def test_a_folder_is_gone_through(call: Call, talker: FakeTalker, image: Path) -> None:
    Path("all").mkdir()
    image.rename("all/a.png")
    Path("all/b.png").write_bytes(b"no picture")
    done = call("ask", "all", "How many?", "-q", "How many?")
    assert done.code == 1, "the question before -q is an image that is not there"
    done = call("ask", "all", "-q", "How many?")
    assert done.code == 1
    assert done.out == "all/a.png: How many? two\n"
    assert "skipped: " in done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("image.png",), 2),
        (("image.png", ""), 2),
        (("image.png", "?!"), 2),
        (("image.png", "a" * 3000), 2),
        (("missing.png", "How many?"), 1),
        (("image.png", "How many?", "--max-tokens", "0"), 2),
    ],
)
def test_bad_calls(
    call: Call, talker: FakeTalker, image: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = call("ask", *arguments)
    assert done.code == code
    assert is_one_sentence(done.err)
    assert talker.opened == 0
