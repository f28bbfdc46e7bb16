from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from text4seg.cli._console import UsageError
from text4seg.cli._image_arguments import QuestionKind, find_images, for_each_image, split_arguments
from text4seg.core.errors import InputError

KIND = QuestionKind("expression", "-e", ("segment", "the dog"))


def test_the_last_argument_is_the_expression_unless_e_is_given() -> None:
    assert split_arguments(["a.jpg", "b.jpg", "the dog"], [], KIND) == (
        [Path("a.jpg"), Path("b.jpg")],
        ["the dog"],
    )
    assert split_arguments(["a.jpg"], ["x", "y", "x"], KIND) == ([Path("a.jpg")], ["x", "y"])


def test_a_lone_argument_is_refused_with_an_example() -> None:
    with pytest.raises(UsageError, match=r"text4seg segment a\.jpg"):
        split_arguments(["a.jpg"], [], KIND)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.PNG"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_gives_its_images_in_order(folder: Path) -> None:
    found = find_images([folder / "b.png", folder], KIND)
    assert [(path.name, inside) for path, inside in found.items()] == [
        ("b.png", False),
        ("a.PNG", True),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [("the dog", "write each with -e"), ("none.png", "none.png"), ("empty", "has no image in it")],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        find_images([tmp_path / name], KIND)


def test_unreadable_images_of_a_folder_are_skipped_and_named_ones_are_not() -> None:
    def answer(path: Path) -> str:
        if path.name == "bad.png":
            raise InputError("broken")
        return path.stem

    reported: list[str] = []
    images = {Path("bad.png"): True, Path("good.png"): False}
    with pytest.raises(InputError, match="1 of 2 images could not be read"):
        for_each_image(images, answer, lambda path, name: reported.append(name))
    assert reported == ["good"]
    with pytest.raises(InputError, match="broken"):
        for_each_image({Path("bad.png"): False}, answer, lambda path, name: None)
