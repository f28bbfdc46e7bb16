"""Runs the commands of a page in this process, which loads torch once for all of them."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
from pathlib import Path
from unittest import mock

from text4seg import models
from text4seg.cli import main


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """The lines of all `sh` blocks."""
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line.strip()]


_load = models.load
_nano = functools.cache(lambda: _load("nano"))


def _load_nano(name: str) -> models.VisionLanguageModel:
    return _nano() if name == "nano" else _load(name)


def run(command: str) -> str:
    """Run a line `text4seg … [> FILE]`; what it printed to stdout."""
    line, _, file = command.partition(" > ")
    program, *arguments = shlex.split(line)
    assert program == "text4seg", command
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)  # it has a buffer
    # The model is real, but loaded once for all commands of a page.
    loaded = mock.patch.object(models, "load", _load_nano)
    with contextlib.redirect_stdout(out), loaded:
        code = main(arguments)
    assert code == 0, f"{command} ended with {code}"
    printed = out.buffer.getvalue().decode()
    if file:
        Path(file.strip()).write_text(printed)
    return printed
