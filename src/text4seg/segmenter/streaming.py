"""Streaming: the mask line by line while the model writes it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from text4seg.codec import Format
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape
from text4seg.segmenter.segmentation import Segmentation


@dataclass(frozen=True, slots=True, eq=False)
class PartialMask:
    """The state after a line of the mask was written; the last one carries the segmentation.

    Attributes:
        text: The mask text so far.
        grid: Its complete lines; the cells to come are background.
        rows: How many lines (rows, for most formats) are complete.
        segmentation: The result, once everything is written.
    """

    text: str
    grid: DescriptorGrid
    rows: int
    segmentation: Segmentation | None = None


class LineReader:
    """Finds the lines of the grid that a growing text completes.

    Args:
        form: The text format.
        shape: The grid.
        label: The label that the text uses besides `others`.
    """

    def __init__(self, form: Format[Any], shape: GridShape, label: str) -> None:
        self._form = form
        self._shape = shape
        self._label = label
        self._lines = form.syntax.line_shape(shape)
        self._done = 0

    def new_in(self, text: bytes) -> Iterator[PartialMask]:
        """Yield a state for each line that `text` completes and the text before it did not.

        The last line is left out: the finished segmentation shows it. Formats without cells over
        the image (boxes) are shown at the end alone.

        Args:
            text: The mask text so far.

        Yields:
            The states, in order.
        """
        syntax, shape = self._form.syntax, self._shape
        for end in syntax.line_ends(text, shape)[self._done : self._lines.rows - 1]:
            self._done += 1
            part = text[:end]
            written = syntax.settled_cells(part, shape)[: self._done * self._lines.cols]
            yield PartialMask(part.decode(), self._to_grid(written), self._done)

    def _to_grid(self, written: list[bytes]) -> DescriptorGrid:
        cells = np.zeros(self._shape.cells, dtype=np.int32)
        label = self._label.encode()
        cells[: len(written)] = [cell == label for cell in written]
        lines = cells.reshape(self._lines.rows, self._lines.cols)
        return DescriptorGrid.build((OTHERS, self._label), self._form.syntax.from_lines(lines))


class _GoneError(Exception):
    """The reader of a stream is gone; ends the work and is not raised further."""


def in_background(
    work: Callable[[Callable[[bytes], None]], Segmentation],
) -> Iterator[bytes | Segmentation]:
    """Run work in a thread.

    Args:
        work: Is given a function to call with the text so far; returns the result.

    Yields:
        The texts as they come, then the result. An error of the work is raised.
    """
    emitted: queue.SimpleQueue[bytes | Segmentation | BaseException] = queue.SimpleQueue()
    gone = threading.Event()

    def on_text(text: bytes) -> None:
        if gone.is_set():
            raise _GoneError
        emitted.put(text)

    def run() -> None:
        try:
            emitted.put(work(on_text))
        except BaseException as error:  # noqa: BLE001 - raised again where the stream is read
            emitted.put(error)

    thread = threading.Thread(target=run, name="text4seg-stream", daemon=True)
    thread.start()
    try:
        while True:
            item = emitted.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, Segmentation):
                return
    finally:
        gone.set()
        thread.join()
