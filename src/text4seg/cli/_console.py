"""Output of the command line: data, messages, errors and progress."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from text4seg.core.errors import Text4SegError

DELAY_SECONDS = 2.0
"""Work that takes longer than this shows a progress bar."""


class UsageError(Exception):
    """The call is wrong: exit code 2."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn errors inside the block into `UsageError`s."""
    try:
        yield
    except Text4SegError as error:
        raise UsageError(str(error)) from error


def one_line(error: BaseException) -> str:
    """Write the message of an error on one line."""
    return " ".join(str(error).split())


def log(text: str) -> None:
    """Write a message to stderr."""
    print(text, file=sys.stderr)


def print_json(record: Mapping[str, Any]) -> None:
    """Write one JSON object on a line of stdout."""
    print(json.dumps(record, ensure_ascii=False), flush=True)


def print_text(text: str) -> None:
    """Write this text to stdout as UTF-8, whatever the encoding of the terminal."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


class _Rate(ProgressColumn):
    """Units a second, or a minute where it is less than one a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("–/s")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{speed * 60:.1f}/min")


class ProgressBar:
    """A progress bar on stderr; nothing is shown where stderr is no terminal."""

    def __init__(self, what: str, total: float | None) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(
            *((*columns, _Rate()) if total is not None else columns[:2]),
            TimeElapsedColumn(),
            *((TimeRemainingColumn(),) if total is not None else ()),
            console=console,
            transient=True,
            redirect_stdout=False,  # data stays on stdout
            redirect_stderr=False,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(what, total=total)

    def advance(self, amount: float = 1.0) -> None:
        """Add to the completed amount."""
        self._progress.advance(self._task, amount)

    def describe(self, what: str) -> None:
        """Change the description."""
        self._progress.update(self._task, description=what)

    def resize(self, total: float) -> None:
        """Change the total."""
        self._progress.update(self._task, total=total)

    def reach(self, amount: float) -> None:
        """Set the completed amount."""
        self._progress.update(self._task, completed=amount)

    def start(self) -> None:
        """Show the bar."""
        self._progress.start()

    def stop(self) -> None:
        """Remove the bar."""
        self._progress.stop()


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[ProgressBar]:
    """Show a progress bar once the block takes long; without a total, elapsed time alone."""
    bar = ProgressBar(what, total)
    timer = threading.Timer(DELAY_SECONDS, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
