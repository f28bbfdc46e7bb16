"""What was converted is whole, or made again, or named as damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.reference.small_nano import small_tokenizer
from text4seg.core.errors import OutputError, WeightsError
from text4seg.models.nano.encoders import parts as room
from text4seg.models.nano.encoders.parts import PretrainedParts, get_parts

FILES = {
    "efficientnet.safetensors",
    "tinyvit.safetensors",
    "embedding.safetensors",
    "tokenizer.json",
    "sentences.safetensors",
    "sentences-tokenizer.json",
}


class Converter:
    """Stands for the real conversion: small files, and a count."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: BaseException | None = None

    def __call__(self, root: Path, folder: Path) -> None:
        self.calls += 1
        for name in FILES - {"tokenizer.json"}:
            save_file({"embed_tokens.weight": torch.full((2, 3), 1.0)}, folder / name)
        if self.error:
            raise self.error
        (folder / "tokenizer.json").write_text(small_tokenizer().to_str(), encoding="utf-8")


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Converter:
    converter = Converter()
    monkeypatch.setattr(room, "_write_converted", converter)
    monkeypatch.setattr(room.weight_files, "fetch_all", lambda root, progress: {})
    monkeypatch.setattr(room.weight_files, "locate", lambda name, root: root / name)
    return converter


def test_parts_are_converted_once(converter: Converter, tmp_path: Path) -> None:
    told: list[str] = []
    parts = get_parts(tmp_path, told.append)
    assert get_parts(tmp_path, told.append) == parts
    assert converter.calls == 1
    assert told == ["converting"]
    assert {path.name for path in parts.folder.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == [parts.folder.name]
    assert parts.embedding().tolist() == [[1.0] * 3] * 2
    assert parts.tokenizer().to_str() == small_tokenizer().to_str()


def test_half_a_conversion_is_made_again(converter: Converter, tmp_path: Path) -> None:
    folder = get_parts(tmp_path).folder
    (folder / "tinyvit.safetensors").unlink()
    (folder / "tokenizer.json").write_text("damaged, but to be replaced")
    parts = get_parts(tmp_path)
    assert converter.calls == 2
    assert {path.name for path in parts.folder.iterdir()} == FILES
    assert parts.tokenizer().get_vocab_size() == small_tokenizer().get_vocab_size()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), id="a full disk"),
        pytest.param(KeyboardInterrupt(), id="interrupted"),
    ],
)
def test_a_conversion_that_breaks_off_leaves_nothing(
    converter: Converter, tmp_path: Path, error: BaseException
) -> None:
    converter.error = error
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        get_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_as_safetensors_tells_of_it(
    converter: Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(root: Path, folder: Path) -> None:
        save_file({"a": torch.zeros(3)}, folder / "no such folder" / "a")

    monkeypatch.setattr(room, "_write_converted", write)
    with pytest.raises(OutputError, match="cannot write"):
        get_parts(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("tokenizer.json", b"", id="an empty tokenizer"),
        pytest.param("tokenizer.json", b'{"version": "1.0", "mod', id="half a tokenizer"),
        pytest.param("tokenizer.json", b"\xff\xfe", id="a tokenizer of bytes"),
        pytest.param("tokenizer.json", None, id="no tokenizer"),
        pytest.param("embedding.safetensors", b"short", id="half an embedding"),
        pytest.param("embedding.safetensors", None, id="no embedding"),
        pytest.param("efficientnet.safetensors", b"short", id="half a network"),
        pytest.param("efficientnet.safetensors", None, id="no network"),
    ],
)
def test_damage_names_the_folder_to_remove(
    converter: Converter, tmp_path: Path, name: str, content: bytes | None
) -> None:
    parts = get_parts(tmp_path)
    if content is None:
        (parts.folder / name).unlink()
    else:
        (parts.folder / name).write_bytes(content)
    read = {
        "tokenizer.json": PretrainedParts.tokenizer,
        "embedding.safetensors": PretrainedParts.embedding,
    }
    with pytest.raises(WeightsError, match="remove this folder") as caught:
        read.get(name, PretrainedParts.vision_encoder)(parts)
    assert str(parts.folder) in str(caught.value)


def test_another_version_of_a_part_is_another_folder(
    converter: Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = get_parts(tmp_path).folder
    other = room.weight_files.get_part("mobilesam")
    monkeypatch.setattr(room, "_CONVERTED", ("smollm2", "efficientnet-lite0"))
    assert get_parts(tmp_path).folder != before
    assert other.sha256
    assert converter.calls == 2
