from __future__ import annotations

import os
from pathlib import Path

import pytest

from text4seg.core.errors import OutputError
from text4seg.core.files import mask_file, mask_stem, write_atomically


def test_it_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "mask.png"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomically(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_the_mode_is_that_of_an_ordinary_file_or_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    old = os.umask(0o022)
    try:
        write_atomically(path, b"x")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    write_atomically(path, b"y")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail) if step == "fsync" else monkeypatch.setattr(
        Path, "replace", fail
    )
    with pytest.raises(OutputError, match=r"mask\.png: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "mask.png", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["folder", "file/mask.png", "nul\0"])
def test_it_refuses_impossible_places(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write_atomically(tmp_path / name, b"x")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder"]


def test_answers_are_named_by_image_and_words() -> None:
    assert mask_stem("photos/cat.jpg", "the cat, (left)!") == "cat.the-cat-left"
    assert mask_stem(Path("a.b.png"), "?") == "a.b.expression"
    assert len(mask_stem("a.png", "x" * 100)) == 62
    assert (mask_file("cat.x"), mask_file("cat.x", "overlay")) == (
        "cat.x.mask.png",
        "cat.x.overlay.png",
    )
