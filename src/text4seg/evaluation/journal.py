"""What a run has answered so far: a file that only grows, so that a kill loses nothing written.

The first line says which run the file belongs to, every other is a row. The rows of a sample are
written together, flushed and synced; what a kill left of a line is dropped when the run goes on.
A run of several processes has a file for each; all of them are read, whatever their number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, OutputError
from text4seg.core.files import write_atomically
from text4seg.evaluation.rows import Row, merge

HEADER = "text4seg evaluation"


@dataclass(slots=True)
class Journal:
    """The rows of one process of a run, and what all of them have done.

    Attributes:
        path: This process's file.
        done: The rows of all processes so far, by the question's index.
    """

    path: Path
    done: dict[int, Row] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any], *, process: int = 0) -> Journal:
        """Start a run in a folder, or go on with the one that is there.

        Raises:
            InputError: The folder holds another run, or a damaged one.
            OutputError: It cannot be written to.
        """
        path = folder / f"rows.{process}.jsonl"
        with opening(path, settings):
            done = {row.index: row for row in merge(_parts(folder, settings))}
        return cls(path, done)

    def append(self, rows: Sequence[Row]) -> None:
        """Keep the rows of a sample; raises `OutputError`."""
        append_lines(self.path, [json.dumps(row.to_json()) for row in rows])
        self.done |= {row.index: row for row in rows}


def read_run(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """The settings and all rows of a run, in the order of its data set.

    Raises:
        InputError: There is no run in the folder, or it is damaged.
    """
    paths = _paths(folder)
    if not paths:
        raise InputError(f"{folder} holds no rows.*.jsonl: it is not the folder of an evaluation")
    settings = _header(paths[0])
    return settings, merge(_parts(folder, settings))


def write_run(folder: Path, settings: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write all rows of a finished run at once, in place of what the folder had.

    Raises:
        OutputError: They cannot be written; what was there is left as it was.
    """
    lines = [_first_line(settings)]
    lines += [json.dumps(row.to_json()) for row in rows]
    write_atomically(folder / "rows.0.jsonl", "".join(f"{line}\n" for line in lines).encode())


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("rows.*.jsonl"))


def _first_line(settings: Mapping[str, Any]) -> str:
    return json.dumps({HEADER: 1, "settings": dict(settings)})


@contextmanager
def opening(path: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Go on with a process's file, or begin it; inside, what all processes have done is read.

    Raises:
        OutputError: It cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_half_line(path)
        yield
        if not path.exists() or path.stat().st_size == 0:
            _append(path, [_first_line(settings)])
    except OSError as error:
        raise OutputError(f"cannot keep a run in {path.parent}: {error.strerror}") from error


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines at the end of a file, to the disk; raises `OutputError`."""
    try:
        _append(path, lines)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


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


def _parts(folder: Path, settings: Mapping[str, Any]) -> Iterator[Iterator[Row]]:
    for path in _paths(folder):
        if path.stat().st_size:
            yield _rows(path, settings)


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    wanted = json.loads(json.dumps(dict(settings)))
    there = _header(path)
    if there != wanted:
        names = sorted(
            name for name in {*there, *wanted} if there.get(name, _NONE) != wanted.get(name, _NONE)
        )
        told = ", ".join(f"{name} is {there.get(name)!r}" for name in names)
        raise InputError(
            f"{path.parent} holds another run, whose {told}: choose another folder, or remove it"
        )


_NONE = object()


def _header(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as file:
        line = file.readline()
    try:
        header = json.loads(line)
        settings = header["settings"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} does not begin as the file of a run does") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path} does not begin as the file of a run does")
    return settings


def _rows(path: Path, settings: Mapping[str, Any]) -> Iterator[Row]:
    for number, line in lines_of(path, settings):
        try:
            yield Row.from_json(json.loads(line))
        except (ValueError, InputError) as error:
            raise InputError(f"{path}, line {number}: {error}") from error


def lines_of(path: Path, settings: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The numbered lines of a file of a run, without the first.

    Raises:
        InputError: The file belongs to a run with other settings.
    """
    _check_settings(path, settings)
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if number > 1 and line.endswith("\n"):  # another process may be writing its last one
                yield number, line
