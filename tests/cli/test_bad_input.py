"""Whatever a user gets wrong: one sentence on stderr, exit code 1 or 2, nothing written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from tests.cli.conftest import Call, files_under, is_one_sentence
from tests.fakes import FakeChat
from tests.test_images import png_that_claims
from text4seg import cli, models
from text4seg.core.errors import WeightsError

SEGMENT = [
    pytest.param(["none.jpg", "the dog"], 1, "there is no file none.jpg", id="no such image"),
    pytest.param(["folder", "the dog"], 1, "no image in it", id="a folder without images"),
    pytest.param(["image.png", "a", "b"], 1, "write each with -e", id="two expressions"),
    pytest.param(["empty.jpg", "the dog"], 1, "0 bytes", id="an empty file"),
    pytest.param(["notes.txt", "the dog"], 1, "not a picture", id="no picture"),
    pytest.param(["cut.png", "the dog"], 1, "broken picture", id="a picture cut off"),
    pytest.param(["bomb.png", "the dog"], 1, "pixels", id="an image bomb"),
    pytest.param(["image.png", "a", "the dog"], 1, "no file a", id="one image of two is missing"),
    pytest.param(["image.png", ""], 2, "empty", id="an empty expression"),
    pytest.param(["image.png", "the dog|cat"], 2, "write 'the dog cat'", id="a separator"),
    pytest.param(["image.png", "a\nb"], 2, "line break", id="a line break"),
    pytest.param(["image.png", "the dog *2"], 2, "run length", id="a run length"),
    pytest.param(["image.png", "others"], 2, "reserved", id="the reserved label"),
    pytest.param(["image.png", "-e", "x", "-e", ""], 2, "empty", id="one of several is empty"),
    pytest.param(["image.png"], 2, "text4seg segment image.png", id="nothing asked"),
    pytest.param([], 2, "Missing argument", id="nothing at all"),
    pytest.param(["image.png", "x", "--grid", "0x16"], 2, "0x16", id="a grid of 0 rows"),
    pytest.param(["image.png", "x", "--grid", "16x0"], 2, "16x0", id="a grid of 0 columns"),
    pytest.param(["image.png", "x", "--grid", "999x9"], 2, "256", id="too large a grid"),
    pytest.param(["image.png", "x", "--grid", "16"], 2, "16x16", id="half a grid"),
    pytest.param(["image.png", "x", "--format", "png"], 2, "sd, rle, rrle", id="no such format"),
    pytest.param(["image.png", "x", "--refiner", "sam9"], 2, "smooth", id="no such refiner"),
    pytest.param(["image.png", "x", "--draft", "x"], 2, "row", id="no such draft"),
    pytest.param(["image.png", "x", "-o", "notes.txt"], 2, "is a file", id="no folder to write to"),
    pytest.param(["image.png", "x", "--size", "9"], 2, "No such option", id="no such option"),
    pytest.param(
        ["image.png", "x", "-o", "notes.txt/a"], 1, "cannot write", id="a file in the way"
    ),
]


@pytest.fixture
def folder(tmp_path: Path, image: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.png").write_bytes((tmp_path / image).read_bytes()[:5000])
    (tmp_path / "bomb.png").write_bytes(png_that_claims(50_000, 50_000))
    return tmp_path


@pytest.mark.parametrize(("arguments", "code", "message"), SEGMENT)
def test_segment(
    call: Call, chat: FakeChat, folder: Path, arguments: list[str], code: int, message: str
) -> None:
    before = files_under(folder)
    out = [] if "-o" in arguments else ["-o", "out"]
    done = call("segment", *arguments, *out)
    assert is_one_sentence(done.err), done.err
    assert message in done.err
    assert (done.code, done.out) == (code, "")
    assert files_under(folder) == before, "nothing is written"


OTHERS = [
    pytest.param(["encode", "none.png", "-l", "x"], 1, "there is no file", id="no mask"),
    pytest.param(["encode", "notes.txt", "-l", "x"], 1, "not a picture", id="no picture"),
    pytest.param(["encode", "image.png", "-l", "others"], 2, "reserved", id="reserved"),
    pytest.param(["encode", "image.png", "-l", "a|b"], 2, "'|'", id="a separator"),
    pytest.param(["encode", "image.png"], 2, "--label", id="no label"),
    pytest.param(["encode", "image.png", "-l", "x", "--rule", "x"], 2, "coverage", id="no rule"),
    pytest.param(["encode", "image.png", "-l", "x", "--grid", "0x0"], 2, "0x0", id="grid of 0"),
    pytest.param(["decode", "none.txt", "--size", "9x9"], 1, "none.txt", id="no text"),
    pytest.param(["decode", "folder", "--size", "9x9"], 1, "cannot be read", id="a folder"),
    pytest.param(["decode", "image.png", "--size", "9x9"], 1, "not text", id="not text"),
    pytest.param(["decode", "notes.txt", "--size", "9x9"], 1, "line 1, column", id="no mask text"),
    pytest.param(["decode", "notes.txt", "--size", "9"], 2, "HEIGHTxWIDTH", id="half a size"),
    pytest.param(["decode", "notes.txt", "--size", "0x9"], 2, "at least one pixel", id="no pixels"),
    pytest.param(["decode", "notes.txt", "--size", "99999x99999"], 2, "too large", id="too large"),
    pytest.param(["decode", "notes.txt"], 2, "--size", id="no size"),
    pytest.param(["grammar", "-l", "a|b"], 2, "'|'", id="a label that none is"),
    pytest.param(["segment", "image.png", "x", "--temperature", "0"], 2, "above zero", id="cold"),
    pytest.param(["segment", "image.png", "x", "--samples", "0"], 2, "--samples", id="no samples"),
    pytest.param(
        ["segment", "image.png", "x", "--samples", "2", "--run-lengths", "median"],
        2,
        "not both",
        id="both",
    ),
    pytest.param(["grammar", "--notation", "x"], 2, "lark, gbnf", id="no such notation"),
    pytest.param(["grammar", "--format", "x"], 2, "sd, rle, rrle", id="no such format"),
    pytest.param(["grammar", "--grid", "0x0"], 2, "0x0", id="a grid of nothing"),
    pytest.param(["evaluate", "--images", "."], 2, "--data", id="no questions"),
    pytest.param(
        ["evaluate", "--data", "none.jsonl", "--images", "."], 1, "none.jsonl", id="no file"
    ),
    pytest.param(
        ["evaluate", "--data", "notes.txt", "--images", "."], 1, "notes.txt, line 1", id="no JSON"
    ),
    pytest.param(["paint"], 2, "No such command 'paint'", id="no such verb"),
    pytest.param(["--colour"], 2, "No such option", id="no such option"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), OTHERS)
def test_other_verbs(
    call: Call, chat: FakeChat, folder: Path, arguments: list[str], code: int, message: str
) -> None:
    before = files_under(folder)
    done = call(*arguments)
    assert is_one_sentence(done.err), done.err
    assert message in done.err
    assert (done.code, done.out) == (code, "")
    assert files_under(folder) == before


def test_bad_calls_do_not_load_the_model(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(models, "load", load, raising=False)
    assert call("segment", "image.png", "others").code == 2
    assert call("segment", "none.png", "the dog").code == 1


def test_weights_that_cannot_be_had(
    call: Call, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        raise WeightsError("the weights have the wrong sha256\nexpected …")

    monkeypatch.setattr(models, "load", load, raising=False)
    done = call("segment", image, "the dog", "-o", "out")
    assert (done.code, is_one_sentence(done.err)) == (1, True)
    assert "wrong sha256" in done.err


@pytest.mark.parametrize("when", ["write", "fsync"])
def test_a_full_disk(
    call: Call,
    chat: FakeChat,
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(os, "fdopen", _FullDisk)
    done = call("segment", image, "the dog", "-o", "out")
    assert (done.code, is_one_sentence(done.err)) == (1, True)
    assert "No space left on device" in done.err
    assert files_under(tmp_path) == ["image.png"], "no half-written file"


class _FullDisk:
    """An open file on a disk without room."""

    def __init__(self, handle: int, mode: str) -> None:
        os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full(
    call: Call, chat: FakeChat, image: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        done = call("segment", image, "the dog", "-o", small)
        assert (done.code, is_one_sentence(done.err.splitlines(keepends=True)[-1])) == (1, True)
        assert "No space left" in done.err
        assert all(not name.startswith(".") for name in files_under(small))
        assert not any("overlay" in name for name in files_under(small)), "it did not fit"
    finally:
        subprocess.run(["umount", small], check=True)


def test_an_extra_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    for name in [name for name in sys.modules if name.startswith("text4seg.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["grammar"]) == 1
    assert "pip install 'text4seg[cli]'" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m text4seg grammar --grid 64x64 | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_an_interrupt_is_quiet(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "text4seg", "decode", str(fifo), "--size", "8x8"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Tests that run as a background job of a shell have inherited it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    writer = open_when_read(fifo, process)
    try:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        os.close(writer)
        process.kill()
    assert (process.returncode, out, err) == (130, b"", b"")


def open_when_read(fifo: Path, process: subprocess.Popen[bytes]) -> int:
    """Open a pipe for writing once the program reads it, so that it is known to be at work."""
    for _ in range(600):
        assert process.poll() is None, "the program ended before it read"
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.05)
    raise AssertionError("the program did not read within 30 s")


def test_no_verb_prints_the_help_as_talk(call: Call) -> None:
    done = call()
    assert (done.code, done.out) == (2, "")
    for verb in ("segment", "encode", "decode", "grammar", "evaluate", "weights"):
        assert verb in done.err


def test_help_and_version_are_data(call: Call) -> None:
    from text4seg import __version__

    assert call("--version").out == f"text4seg {__version__}\n"
    done = call("segment", "--help")
    assert (done.code, done.err) == (0, "")
    assert "IMAGE... EXPRESSION" in done.out
