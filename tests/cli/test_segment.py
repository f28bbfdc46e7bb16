from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import DOG, Call, files_under
from tests.fakes import FakeChat
from text4seg.cli.segment import unique_stems
from text4seg.codec import get_format
from text4seg.core.run_lengths import rle_to_mask
from text4seg.images import open_image, open_mask


def test_a_image_and_an_expression(call: Call, chat: FakeChat, image: Path, tmp_path: Path) -> None:
    done = call("segment", image, "the dog", "-o", "out")
    assert done.code == 0
    assert files_under(tmp_path / "out") == [
        "image.the-dog.mask.png",
        "image.the-dog.overlay.png",
    ]
    mask = open_mask(tmp_path / "out" / "image.the-dog.mask.png")
    assert mask.shape == (96, 160)
    assert mask[24:48, 20:100].all()
    assert mask.sum() == 24 * 80
    assert open_image(tmp_path / "out" / "image.the-dog.overlay.png").size == (160, 96)
    lines = done.out.splitlines()
    assert lines[0] == "image.png: the dog"
    assert lines[1] == "  " + "··" * 16 + "   others *16"
    assert lines[5] == "  ····" + "██" * 8 + "··" * 6 + "   others *2| the dog *8| others *6"
    assert lines[17].startswith("grid 16x16, ")
    assert "tokens of sd" in lines[17]
    assert "12.5 % of the image, score 0.9" in lines[17]
    assert "\x1b" not in done.out, "no colors where nobody sees them"
    assert done.err.splitlines() == [
        "wrote out/image.the-dog.mask.png",
        "wrote out/image.the-dog.overlay.png",
    ]


def test_json_is_one_object_with_everything(call: Call, chat: FakeChat, image: Path) -> None:
    done = call("segment", image, "the dog", "-o", "out", "--json", "--refiner", "smooth")
    (record,) = done.json
    assert (done.code, done.err) == (0, "")
    assert record["image"] == "image.png"
    assert record["expression"] == "the dog"
    assert record["text"] == get_format("sd").encode(DOG)
    assert np.array_equal(rle_to_mask(record["mask"]), open_mask("out/image.the-dog.mask.png")), (
        "the picture and the run lengths are one mask"
    )
    assert record["files"]["mask"] == "out/image.the-dog.mask.png"
    stats = record["stats"]
    assert {"grid", "tokens", "passes", "seconds", "share", "score"} <= set(stats)


def test_masks_are_drawn(call: Call, chat: FakeChat, image: Path, tmp_path: Path) -> None:
    chat.certainty = 2.0
    done = call("segment", image, "the dog", "--samples", 2, "--seed", 3, "-o", "out", "--json")
    assert done.code == 0
    first, second = done.json
    assert first["text"] != second["text"]
    names = files_under(tmp_path / "out")
    assert "image.the-dog.1.mask.png" in names
    assert len(names) == 4
    (again,) = call("segment", image, "the dog", "--temperature", 1, "--seed", 4, "--json").json
    assert again["text"] == second["text"]


def test_an_absent_thing_is_said_to_be_absent(call: Call, chat: FakeChat, image: Path) -> None:
    done = call("segment", image, "the cat")
    assert done.code == 0
    assert done.out.rstrip().endswith("nothing found")
    assert call("segment", image, "the cat", "--json").json[0]["empty"] is True


def test_without_a_folder_nothing_is_written(
    call: Call, chat: FakeChat, image: Path, tmp_path: Path
) -> None:
    assert call("segment", image, "the dog").code == 0
    assert files_under(tmp_path) == ["image.png"]


def test_a_folder_is_gone_through_and_what_cannot_be_read_is_told(
    call: Call, chat: FakeChat, image: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    content = (tmp_path / image).read_bytes()
    (folder / "b.png").write_bytes(content)
    (folder / "a.PNG").write_bytes(content)
    (folder / "cut.png").write_bytes(content[:5000])
    (folder / "notes.txt").write_text("no image")
    done = call("segment", "images", "the dog", "--json", "-o", "out")
    assert [record["image"] for record in done.json] == ["images/a.PNG", "images/b.png"]
    assert done.code == 1
    assert "skipped: " in done.err
    assert "cut.png" in done.err
    assert "1 of 3 images could not be read" in done.err
    assert len(files_under(tmp_path / "out")) == 4, "what could be read is written"


def test_many_images_and_expressions(
    call: Call, chat: FakeChat, image: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes((tmp_path / image).read_bytes())
    done = call("segment", image, other, "-e", "the dog", "-e", "the cat", "--json", "-o", "out")
    assert [(record["expression"], record["empty"]) for record in done.json] == [
        ("the dog", False),
        ("the cat", True),
    ] * 2
    assert len(chat.opened) == 2, "an image is opened once for all its expressions"
    assert len(files_under(tmp_path / "out")) == 8


def test_the_options_reach_the_model(call: Call, chat: FakeChat, image: Path) -> None:
    done = call("segment", image, "a bird", "--json", "--grid", "16x16", "--draft", "none")
    stats = done.json[0]["stats"]
    assert stats["drafted"] == 0
    assert stats["passes"] >= stats["tokens"] - 1


STEMS = [
    pytest.param(["a/x.jpg"], ["the dog"], ["x.the-dog"], id="plain"),
    pytest.param(["a/x.jpg", "b/x.png"], ["dog"], ["x.dog", "x.dog-2"], id="images of one name"),
    pytest.param(["x.jpg"], ["the/dog", "the dog"], ["x.the-dog", "x.the-dog-2"], id="one slug"),
    pytest.param(["x.jpg"], ["Dog", "dog"], ["x.Dog", "x.dog-2"], id="file systems without case"),
    pytest.param(["x.jpg"], ["../../etc"], ["x.etc"], id="no way out of the folder"),
    pytest.param(["x.jpg"], ["собака", "?!"], ["x.собака", "x.expression"], id="other scripts"),
    pytest.param(["x.jpg"], ["d" * 500], ["x." + "d" * 60], id="a long one"),
]


@pytest.mark.parametrize(("images", "expressions", "stems"), STEMS)
def test_file_names_do_not_collide(
    images: list[str], expressions: list[str], stems: list[str]
) -> None:
    paths = [Path(image) for image in images]
    assert list(unique_stems(paths, expressions).values()) == stems


def test_a_file_name_that_is_no_text(
    call: Call, chat: FakeChat, image: Path, tmp_path: Path
) -> None:
    odd = os.fsdecode(b"ph\xffoto.png")
    (tmp_path / image).rename(tmp_path / odd)
    done = call("segment", odd, "the dog", "-o", "out")
    assert (done.code, done.out.splitlines()[0]) == (0, r"ph\udcffoto.png: the dog")
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert call("segment", odd, "the dog", "--json").json[0]["image"] == odd


def test_colors_where_they_are_wanted(
    call: Call, chat: FakeChat, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m" in call("segment", image, "the dog").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in call("segment", image, "the dog").out
