"""Telling of a mask row by row while the model writes it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from text4seg.codec import Format
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.segmenter.segmentation import Segmentation


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """The state after a row was written; the last one carries the finished segmentation.

    Attributes:
        text: The mask text so far.
        grid: Its complete rows; those to come are background.
        rows: How many rows are complete.
        segmentation: The answer, once everything is written.
    """

    text: str
    grid: DescriptorGrid
    rows: int
    segmentation: Segmentation | None = None


class RowsOf:
    """Finds the rows that a growing text completes."""

    def __init__(self, form: Format, shape: GridShape, label: str) -> None:
        self._form = form
        self._shape = shape
        self._label = label
        self._rows = 0

    def new_in(self, text: bytes) -> Iterator[Streamed]:
        """A state for each row that `text` completes and the text before it did not.

        But for the last row: the finished segmentation tells of that one. Boxes are told at the
        end alone.
        """
        if self._form.name == "box":
            return
        for end in self._ends(text)[self._rows : self._shape.rows - 1]:
            self._rows += 1
            part = text[:end].decode()
            grid = self._form.salvage(part, self._shape, (self._label,)).grid
            cells = np.array(grid.cells)
            cells[self._rows :] = 0
            yield Streamed(part, DescriptorGrid.build(grid.labels, cells), self._rows)

    def _ends(self, text: bytes) -> list[int]:
        """Offsets after each complete row; a run that goes on below completes several at once."""
        if self._form.name != "rle":
            return [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
        ends: list[int] = []
        offset = cells = 0
        *runs, _ = text.split(b"| ")
        for run in runs:
            offset += len(run) + 2
            cells += int(run.rpartition(b"*")[2])
            ends += [offset] * (cells // self._shape.cols - len(ends))
        return ends


class _GoneError(Exception):
    """The reader of a stream went away; ends the work, and nobody sees it."""


def in_background(
    work: Callable[[Callable[[bytes], None]], Segmentation],
) -> Iterator[bytes | Segmentation]:
    """Run the work in a thread and yield what it tells as it goes, then its result."""
    told: queue.SimpleQueue[bytes | Segmentation | BaseException] = queue.SimpleQueue()
    gone = threading.Event()

    def tell(text: bytes) -> None:
        if gone.is_set():
            raise _GoneError
        told.put(text)

    def run() -> None:
        try:
            told.put(work(tell))
        except BaseException as error:  # noqa: BLE001 - raised again where the stream is read
            told.put(error)

    thread = threading.Thread(target=run, name="text4seg-stream", daemon=True)
    thread.start()
    try:
        while True:
            item = told.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, Segmentation):
                return
    finally:
        gone.set()
        thread.join()
