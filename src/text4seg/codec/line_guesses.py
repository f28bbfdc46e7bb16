"""Guessing how a mask text goes on from its bytes: after the line above, or after a guessed grid.

The text is read as lines of labels, flat (`label| label`) or as runs (`label *count| …`); lines end
with a newline, or there is one line for the whole image. A guess is made in cells and written back
as text, so that it fits what is written already, down to the digits of an unfinished count.
"""

from __future__ import annotations

import re
from itertools import chain, groupby, repeat
from typing import TYPE_CHECKING

from text4seg.core.types import OTHERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Cells = list[bytes]
"""Labels, cell by cell."""

_RUN = re.compile(rb"(.+) \*([0-9]{1,6})", re.DOTALL)
_OPEN_RUN = re.compile(rb"(.+) \*([0-9]{0,6})", re.DOTALL)
_BACKGROUND = OTHERS.encode()
_WIDE = 24  # columns from which on an edge rather moves by several cells than by one
_NEW_RUN = 1  # cells guessed for a label that the line above does not have


def repeat_rows(text: bytes, shape: tuple[int, int] | None, *, runs: bool) -> Iterator[bytes]:
    """Pieces of the text after `text` if every line is like the one above it.

    Args:
        text: The beginning of a text whose lines end with a newline.
        shape: Lines and cells a line; None where it is not known. The guess is then endless, and
            a first line of runs is not guessed.
        runs: Whether labels carry run lengths.

    Returns:
        Pieces of text; none where nothing is known.
    """
    if b"\n" in text:
        head, _, current = text.rpartition(b"\n")
        above = read_row(head.rpartition(b"\n")[2].removeprefix(b" "))
        row = finish_row(above, current.removeprefix(b" "), runs=runs)
        left = None if shape is None else shape[0] - text.count(b"\n") - 1
        return _rows_below(row, current, left, runs=runs)
    known, rest = _split(text)
    if not runs:
        return _first_row_of_cells(known, rest, text, shape)
    return iter(()) if shape is None else _first_row_of_runs(known, rest, text, shape)


def repeat_image(text: bytes, shape: tuple[int, int] | None) -> Iterator[bytes]:
    """As `repeat_rows`, for runs over the whole image, without line breaks."""
    if shape is None:
        return iter(())
    known, rest = _split(text)
    if len(known) < shape[1]:
        return _first_row_of_runs(known, rest, text, shape)
    return _image_of_runs(known, rest, text, shape)


def read_row(text: bytes) -> Cells:
    """The cells of a whole row, in either notation."""
    if b" *" not in text:
        return text.split(b"| ")
    cells: Cells = []
    for part in text.split(b"| "):
        run = _RUN.fullmatch(part)
        cells += [run[1]] * int(run[2]) if run else [part]
    return cells


def write_row(cells: Cells, *, runs: bool) -> bytes:
    """A row, as runs or as flat text; without the newline."""
    if not runs:
        return b"| ".join(cells)
    lengths = ((label, len(list(group))) for label, group in groupby(cells))
    return b"| ".join(b"%b *%d" % run for run in lengths)


def finish_row(above: Cells, current: bytes, *, runs: bool) -> Cells | None:
    """The whole current row, of which `current` stands there, after the row `above`.

    None if nothing known fits what stands there.
    """
    known, rest = _split(current)
    if len(known) >= len(above):
        return None
    if runs:
        return _finish_runs(above, known, rest)
    if known and not rest and known[-1] != above[len(known) - 1]:
        return _finish_departed(above, known)
    label = _first_fitting(chain(above[len(known) :], known[::-1], above), rest)
    return None if label is None else [*known, label, *above[len(known) + 1 :]]


def _finish_departed(above: Cells, known: Cells) -> Cells:
    """A row of cells that has just left what stands above: the label goes on until it meets its
    like there, or to the end if there is none.

    A thing's left edge that moves right by one cell is more frequent than one that vanishes, so
    background has to show twice before it is taken to go on; not so where columns are fine.
    """
    start, label = len(known), known[-1]
    if (
        label == _BACKGROUND
        and len(above) < _WIDE
        and (start < 2 or known[-2] != label or above[start - 2] == label)
    ):
        return [*known, *above[start:]]
    if label in above[start:]:
        meets = above.index(label, start)
    elif label not in above:
        meets = len(above)
    else:
        meets = min(start + _further(above, known), len(above))
    return [*known, *[label] * (meets - start), *above[meets:]]


def _further(above: Cells, known: Cells) -> int:
    """How far an edge that moves outwards goes on: as far again, if it moved by several cells."""
    pairs = enumerate(zip(known[::-1], above[len(known) - 1 :: -1], strict=True))
    moved = next((number for number, (cell, other) in pairs if cell == other), len(known))
    return moved if moved > 1 and len(above) >= _WIDE else 0


def _split(current: bytes) -> tuple[Cells, bytes]:
    """A row that is not at its end: the cells that are settled, and the text after them."""
    done, _, rest = current.rpartition(b"|")
    return read_row(done) if done else [], rest.removeprefix(b" ")


def _finish_runs(above: Cells, known: Cells, rest: bytes) -> Cells | None:
    """As `finish_row`, with `rest` a run that is not written to its end."""
    start = len(known)
    last = known[-1] if known else None
    open_run = _OPEN_RUN.fullmatch(rest)
    label: bytes | None
    if open_run:
        label, digits = open_run[1], open_run[2]
    else:
        others = (label for label in chain(above[start:], above, known) if label != last)
        label, digits = _first_fitting(others, rest), b""
    if label is None:
        return None
    count = _fitting_count(_run_end(above, start, label) - start, digits, len(above) - start)
    if count is None:
        return None
    end = start + count
    return [*known, *[label] * count, *_after_run(above, known, end, label)]


def _first_fitting(labels: Iterable[bytes], begun: bytes) -> bytes | None:
    """The first label whose text begins with `begun`."""
    fitting = (label for label in labels if (label + b" *").startswith(begun))
    return next(fitting, None)


def _run_end(above: Cells, start: int, label: bytes) -> int:
    """Where a run of `label` from `start` ends, if it ends where the row above's does."""
    try:
        end = above.index(label, start)
    except ValueError:
        return min(start + _NEW_RUN, len(above))
    while end < len(above) and above[end] == label:
        end += 1
    return end


def _fitting_count(count: int, digits: bytes, most: int) -> int | None:
    """The count nearest to `count` that begins with the digits written already."""
    if not digits:
        return count
    begun = int(digits)
    fitting = []
    for places in range(7):
        low = begun * 10**places
        if 0 < low <= most:
            fitting.append(min(max(count, low), low + 10**places - 1, most))
    return min(fitting, key=lambda n: abs(n - count), default=None)


def _after_run(above: Cells, known: Cells, end: int, label: bytes) -> Cells:
    """The row after a run of `label` that ends at `end`: other runs end as they do above."""
    following = next((i for i in range(end, len(above)) if above[i] != label), None)
    if following is not None:
        return [above[following]] * (following - end) + above[following:]
    others = (other for other in chain(known[::-1], above) if other != label)
    return [next(others, label)] * (len(above) - end)


def _rows_below(
    row: Cells | None, current: bytes, left: int | None, *, runs: bool
) -> Iterator[bytes]:
    """The rest of the current row, then the same row as often as rows are left, or for ever."""
    if row is None:
        return
    text = b" " + write_row(row, runs=runs) + b"\n"
    if not text.startswith(current):
        return
    yield text[len(current) :]
    yield from repeat(text) if left is None else repeat(text, left)


def _first_row_of_cells(
    known: Cells, rest: bytes, text: bytes, shape: tuple[int, int] | None
) -> Iterator[bytes]:
    """The cell before, again and again; to the end of the row where that is known."""
    label = _first_fitting(known[::-1], rest) or rest
    if not label:
        return
    if shape is None:
        yield write_row([*known, label], runs=False)[len(text) :]
        yield from repeat(b"| " + label)
    else:
        row = [*known, *[label] * (shape[1] - len(known))]
        yield from _copies(row, text, shape[0], runs=False)


def _first_row_of_runs(
    known: Cells, rest: bytes, text: bytes, shape: tuple[int, int]
) -> Iterator[bytes]:
    """The run that has begun goes on to the end of the row, and every row is the same."""
    run = _OPEN_RUN.fullmatch(rest)
    row = _finish_runs([run[1]] * shape[1], known, rest) if run else None
    yield from _copies(row or [], text, shape[0], runs=True)


def _copies(row: Cells, text: bytes, rows: int, *, runs: bool) -> Iterator[bytes]:
    """The rest of the first of some rows, of which `text` stands there, and the same below."""
    first = write_row(row, runs=runs) + b"\n"
    if row and first.startswith(text):
        yield first[len(text) :]
        yield from repeat(b" " + first, rows - 1)


def _image_of_runs(
    known: Cells, rest: bytes, text: bytes, shape: tuple[int, int]
) -> Iterator[bytes]:
    """Image-wise runs: every cell as the one above it, to the end of the image."""
    rows, columns = shape
    start, size = len(known), rows * columns
    above = known + (known[start - columns :] * (rows + 1))[: size - start]
    cells = _finish_runs(above, known, rest)
    if cells is None:
        return
    # What the open run changed goes on downwards, too.
    end = next((at for at in range(start, size) if cells[at] != cells[start]), size)
    for at in range(max(end, start + columns), size):
        cells[at] = cells[at - columns]
    whole = write_row(cells, runs=True)
    if whole.startswith(text):
        yield whole[len(text) :]


def cells_left(text: bytes, width: int) -> int:
    """How many cells of a row (or, for `rle`, an image) of `width` may follow the last run."""
    known, _ = _split(text.rpartition(b"\n")[2].removeprefix(b" "))
    return width - len(known)


def follow_rows(text: bytes, rows: Sequence[Cells], *, runs: bool) -> Iterator[bytes]:
    """Pieces of the text after `text`, if it goes on as a grid known beforehand.

    What stands there already may differ from that grid; the rest of its row is fitted to it.
    """
    number = text.count(b"\n")
    if number >= len(rows):
        return
    current = text.rpartition(b"\n")[2]
    row = finish_row(rows[number], current.removeprefix(b" ") if number else current, runs=runs)
    if row is None:
        return
    whole = (b" " if number else b"") + write_row(row, runs=runs) + b"\n"
    if not whole.startswith(current):
        return
    yield whole[len(current) :]
    for below in rows[number + 1 :]:
        yield b" " + write_row(below, runs=runs) + b"\n"


def follow_image(text: bytes, cells: Cells) -> Iterator[bytes]:
    """As `follow_rows`, for image-wise runs (`rle`)."""
    known, rest = _split(text)
    if len(known) >= len(cells):
        return
    finished = _finish_runs([*known, *cells[len(known) :]], known, rest)
    whole = write_row(finished, runs=True) if finished is not None else b""
    if whole.startswith(text):
        yield whole[len(text) :]
