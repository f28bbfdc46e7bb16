"""Work image by image that survives a kill and is shared by processes, whatever an image's result.

A file a process, as in `journal`: its first line says which run it belongs to, every other is the
number of an image with its result, flushed and synced as soon as it is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError
from text4seg.data import Sample
from text4seg.evaluation.journal import append_lines, lines_of, opening
from text4seg.evaluation.run import Share

Result = dict[str, Any]

NAME = "images.{}.jsonl"


@dataclass(slots=True)
class ImageJournal:
    """The results of one process of a run, and those of all processes by the image's number."""

    path: Path
    done: dict[int, Result] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any], *, process: int = 0) -> ImageJournal:
        """Start a run in a folder, or go on with the one that is there.

        Raises:
            InputError: The folder holds another run, or a damaged one.
            OutputError: It cannot be written to.
        """
        path = folder / NAME.format(process)
        with opening(path, settings):
            done = read_images(folder, settings)
        return cls(path, done)

    def append(self, number: int, result: Result) -> None:
        """Keep the result of an image; raises `OutputError`."""
        append_lines(self.path, [json.dumps({"image": number, "result": result})])
        self.done[number] = result


def read_images(folder: Path, settings: Mapping[str, Any]) -> dict[int, Result]:
    """The results of all processes; raises `InputError` for those of another run."""
    found: dict[int, Result] = {}
    for path in sorted(folder.glob(NAME.format("*"))):
        if path.stat().st_size == 0:
            continue
        for number, line in lines_of(path, settings):
            try:
                record = json.loads(line)
                found[int(record["image"])] = dict(record["result"])
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}, line {number}: {error}") from error
    return found


def each_image(
    samples: Iterable[Sample],
    work: Callable[[Sample], Result],
    *,
    journal: ImageJournal | None = None,
    share: Share | None = None,
    on_image: Callable[[], None] | None = None,
) -> dict[int, Result]:
    """Do the work for each image of this process's share that was not done before."""
    share = share or Share()
    found: dict[int, Result] = {}
    for number, sample in enumerate(samples):
        if number % share.of != share.process:
            continue
        if journal is not None and number in journal.done:
            found[number] = journal.done[number]
        else:
            found[number] = work(sample)
            if journal is not None:
                journal.append(number, found[number])
        if on_image is not None:
            on_image()
    return found


__all__ = ["ImageJournal", "each_image", "read_images"]
