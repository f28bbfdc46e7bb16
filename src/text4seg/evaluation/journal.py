"""What a run has done so far: files that only grow, so that a kill loses nothing that was written.

A process of a run has one file. Its first line holds the settings of the run; every other line is
one result with its number, and is flushed and synced as soon as the result is there. What a kill
left of a line is dropped when the run goes on. The files of all processes are read together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from text4seg.core.errors import InputError, OutputError
from text4seg.core.files import write_atomically
from text4seg.evaluation.records import ScoreRecord

HEADER = "text4seg evaluation"
_NONE = object()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """The samples that one process answers: every `of`-th one, from the `process`-th on."""

    process: int = 0
    of: int = 1

    def takes(self, number: int) -> bool:
        """Whether the sample of this number, from 0, is one of them."""
        return number % self.of == self.process


@dataclass(frozen=True, slots=True)
class JournalKind(Generic[T]):
    """What the lines of a journal are.

    Attributes:
        name: The beginning of the file names.
        dump: A result and its number as a JSON object.
        parse: The number and the result of a JSON object.
        key: What two results of one number must agree on.
    """

    name: str
    dump: Callable[[int, T], dict[str, Any]]
    parse: Callable[[Any], tuple[int, T]]
    key: Callable[[T], object] = lambda _: None

    def path(self, folder: Path, process: int = 0) -> Path:
        """The file of a process."""
        return folder / f"{self.name}.{process}.jsonl"

    def paths(self, folder: Path) -> list[Path]:
        """The files that are there."""
        return sorted(folder.glob(f"{self.name}.*.jsonl"))


def _parse_record(line: Any) -> tuple[int, ScoreRecord]:
    record = ScoreRecord.from_json(line)
    return record.truth.index, record


RECORDS: JournalKind[ScoreRecord] = JournalKind(
    "records",
    lambda _, record: record.to_json(),
    _parse_record,
    lambda record: str(record.truth),
)
"""Score records by the number of their target."""

IMAGES: JournalKind[dict[str, Any]] = JournalKind(
    "images",
    lambda number, result: {"image": number, "result": result},
    lambda line: (int(line["image"]), dict(line["result"])),
)
"""Results of any kind by the number of their image."""


@dataclass(slots=True)
class Journal(Generic[T]):
    """The results of one process of a run, and those of all processes by their numbers.

    Attributes:
        folder: The folder of the run.
        kind: What is kept.
        share: The samples of this process.
        done: The results of all processes so far.
    """

    folder: Path
    kind: JournalKind[T]
    share: Share = field(default_factory=Share)
    done: dict[int, T] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        kind: JournalKind[T],
        share: Share | None = None,
    ) -> Journal[T]:
        """Start a run in a folder, or go on with the one that is there.

        Args:
            folder: The folder; made where it is missing.
            settings: What the run is; plain values.
            kind: What is kept.
            share: The samples of this process.

        Returns:
            The journal, with everything that was done before.

        Raises:
            InputError: The folder holds another run, or a damaged one.
            OutputError: It cannot be written to.
        """
        share = share or Share()
        path = kind.path(folder, share.process)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _drop_half_line(path)
            done = _read(folder, kind, settings)
            if not path.exists() or path.stat().st_size == 0:
                _append(path, [_first_line(settings)])
        except OSError as error:
            raise OutputError(f"cannot keep a run in {folder}: {error.strerror}") from error
        return cls(folder, kind, share, done)

    def append(self, results: Mapping[int, T]) -> None:
        """Keep some results.

        Args:
            results: The results by their numbers; they are on the disk together.

        Raises:
            OutputError: They cannot be written.
        """
        path = self.kind.path(self.folder, self.share.process)
        lines = [json.dumps(self.kind.dump(number, one)) for number, one in results.items()]
        try:
            _append(path, lines)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        self.done |= results


def read_journal(folder: Path, kind: JournalKind[T]) -> tuple[dict[str, Any], dict[int, T]]:
    """Read what all processes of a run have done.

    Args:
        folder: The folder of the run.
        kind: What is kept there.

    Returns:
        The settings of the run, and its results in the order of their numbers.

    Raises:
        InputError: There is no run in the folder, or it is damaged, or two files disagree.
    """
    paths = kind.paths(folder)
    if not paths:
        raise InputError(
            f"{folder} holds no {kind.name}.*.jsonl: it is not the folder of an evaluation"
        )
    settings = _header(paths[0])
    return settings, _read(folder, kind, settings)


def write_records(
    folder: Path, settings: Mapping[str, Any], records: Iterable[ScoreRecord]
) -> None:
    """Write the records of a finished run at once, in place of what the folder had.

    Args:
        folder: The folder of the run.
        settings: What the run is.
        records: Its records.

    Raises:
        OutputError: They cannot be written; what was there is left as it was.
    """
    lines = [_first_line(settings), *(json.dumps(record.to_json()) for record in records)]
    write_atomically(RECORDS.path(folder), "".join(f"{line}\n" for line in lines).encode())


def _first_line(settings: Mapping[str, Any]) -> str:
    return json.dumps({HEADER: 1, "settings": dict(settings)})


def _append(path: Path, lines: Iterable[str]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def _drop_half_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)


def _read(folder: Path, kind: JournalKind[T], settings: Mapping[str, Any]) -> dict[int, T]:
    found: dict[int, T] = {}
    for path in kind.paths(folder):
        if path.stat().st_size == 0:
            continue
        _check_settings(path, settings)
        for line_number, line in _lines(path):
            with _named(f"{path}, line {line_number}"):
                number, result = kind.parse(json.loads(line))
                known = found.setdefault(number, result)
                if kind.key(known) != kind.key(result):
                    raise InputError(
                        f"number {number} is {kind.key(known)} in one place and "
                        f"{kind.key(result)} in another"
                    )
    return dict(sorted(found.items()))


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(f"{where}: {error}") from error


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    wanted = json.loads(json.dumps(dict(settings)))
    there = _header(path)
    if there != wanted:
        names = sorted(
            name for name in {*there, *wanted} if there.get(name, _NONE) != wanted.get(name, _NONE)
        )
        listed = ", ".join(f"{name} is {there.get(name)!r}" for name in names)
        raise InputError(
            f"{path.parent} holds another run, whose {listed}: choose another folder, or remove it"
        )


def _header(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as file:
        line = file.readline()
    try:
        return dict(json.loads(line)["settings"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} does not begin as the file of a run does") from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines without the first, whole ones only: others may still be writing."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if number > 1 and line.endswith("\n"):
                yield number, line
