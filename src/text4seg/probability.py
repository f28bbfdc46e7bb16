"""The probability of each cell, from the probabilities of the tokens that wrote the mask.

A language model that writes `dog` where it could have written `others` says how sure it is, and a
choice of a run's length says it for several cells at once. Each choice is read cell by cell: which
of its alternatives make the cell the label, which make it background, and which leave it open.
What the path that was taken leaves open is decided by the choices after it; what an alternative
that was not taken leaves open stays out of the account.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from text4seg.core.types import OTHERS, GridShape

_MARGIN = 1e-6
"""How far a probability stays from one half, on the side that the text took."""

_SEPARATORS = re.compile(rb"\| |\n ")
_SEPARATOR = b"| "

_Array = Float[np.ndarray, " cells"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One token that the grammar left open.

    Attributes:
        at: How many bytes of the body were written before it.
        texts: What each allowed token would have written.
        probabilities: Their probabilities, which sum to one.
        chosen: The position of the token that was taken.
    """

    at: int
    texts: tuple[bytes, ...]
    probabilities: Float[np.ndarray, " alternatives"]
    chosen: int


def choices_to_probability(
    body: bytes,
    choices: Sequence[Choice],
    cells: Bool[np.ndarray, "rows cols"],
    *,
    label: str,
    format_name: str,
) -> Float32[np.ndarray, "rows cols"]:
    """The probability that each cell carries the label.

    At least one half exactly where the text writes the label, so that a threshold gives the text's
    own mask back. Cells that no choice speaks of, forced ones, are 0 or 1. For the run formats, an
    alternative digit that was not followed up counts for all lengths that begin with it alike.

    Args:
        body: The text of the mask, as it was written.
        choices: The open tokens in the order in which they were written.
        cells: Where the text writes the label.
        label: The label that was asked for.
        format_name: `sd`, `rle` or `rrle`.
    """
    reader = _Reader(format_name, label.encode(), GridShape(*cells.shape))
    written = cells.reshape(-1)
    account = _Account(written.size)
    starts = _element_starts(reader, body)
    offsets = [start for start, _ in starts]
    for choice in choices:
        start, cell = starts[bisect_right(offsets, choice.at) - 1]
        account.add(reader, body[start : choice.at], cell, choice)
    told_label = account.label + account.path * written
    told_others = account.others + account.path * ~written
    total = told_label + told_others
    probability = np.divide(told_label, total, out=written.astype(float), where=total > 0.0)
    lower = np.where(written, 0.5 + _MARGIN, 0.0)
    upper = np.where(written, 1.0, 0.5 - _MARGIN)
    clipped = np.clip(probability, lower, upper).reshape(cells.shape)
    return np.asarray(clipped, dtype=np.float32)


class _Account:
    """What the choices so far say of each cell: for the label, for others, and still open."""

    def __init__(self, cells: int) -> None:
        self.label = np.zeros(cells)
        self.others = np.zeros(cells)
        self.path = np.ones(cells)

    def add(self, reader: _Reader, told: bytes, cell: int, choice: Choice) -> None:
        touched = np.zeros(self.path.size, dtype=bool)
        settled = np.zeros(self.path.size, dtype=bool)
        label, others = self.label.copy(), self.others.copy()
        for position, text in enumerate(choice.texts):
            weight = float(choice.probabilities[position])
            for belief in reader.beliefs(told + text, cell):
                span = belief.span
                share = self.path[span] * weight
                if position == choice.chosen:
                    # What the path taken leaves open is decided by the choices after this one.
                    certain = belief.certain
                    settled[span] |= certain
                    share = share * certain
                label[span] += share * belief.label
                others[span] += share * belief.others
                touched[span] = True
        carried = np.where(settled, 0.0, self.path * float(choice.probabilities[choice.chosen]))
        self.label, self.others = label, others
        self.path = np.where(touched, carried, self.path)


@dataclass(frozen=True, slots=True)
class _Belief:
    """What a piece of text says of neighbouring cells; what is missing to one is open."""

    first: int
    label: Float[np.ndarray, " cells"]
    others: Float[np.ndarray, " cells"]

    @property
    def span(self) -> slice:
        return slice(self.first, self.first + self.label.size)

    @property
    def certain(self) -> Bool[np.ndarray, " cells"]:
        return np.asarray(np.maximum(self.label, self.others) > 1.0 - 1e-9)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads pieces of mask text that may stop anywhere, of one label against `others`."""

    format_name: str
    label: bytes
    shape: GridShape

    @property
    def size(self) -> int:
        return self.shape.rows * self.shape.cols

    def beliefs(self, text: bytes, cell: int) -> Iterator[_Belief]:
        """What the text says, if it begins where `cell` begins."""
        while text and cell < self.size:
            names = [name for name in (self.label, OTHERS.encode()) if self._fits(text, name)]
            if len(names) != 1:
                return
            is_label = names[0] == self.label
            rest = text[len(names[0]) :]
            if self.format_name == "sd":
                told, mass, other = 1, np.ones(1), np.zeros(1)
            else:
                told, mass, other, rest = self._run(rest, cell)
            yield _Belief(cell, *((mass, other) if is_label else (other, mass)))
            if not told:
                return
            cell += told
            text = rest[len(_SEPARATOR) :]

    def _fits(self, text: bytes, name: bytes) -> bool:
        closes = (b"|", b"\n") if self.format_name == "sd" else (b" *",)
        wholes = [name + close for close in closes]
        return any(text.startswith(whole) or whole.startswith(text) for whole in wholes)

    def _run(self, rest: bytes, cell: int) -> tuple[int, _Array, _Array, bytes]:
        """Length (0 if open), masses of the run's label and of the other one, and what follows."""
        tail = rest.removeprefix(b" *")
        digits = tail[: len(tail) - len(tail.lstrip(b"0123456789"))]
        after = tail[len(digits) :]
        if tail == rest or not digits:
            return 0, np.ones(1), np.zeros(1), b""
        if after:
            length = min(int(digits), self.size - cell)
            return length, np.ones(length), np.zeros(length), after
        room = self.size - cell if self.format_name == "rle" else self._room_of_row(cell)
        lengths = [n for n in range(1, room + 1) if str(n).encode().startswith(digits)]
        places = np.arange(min(room, max(lengths, default=0) + 1))
        chosen = np.asarray(lengths)[:, None]
        return 0, (chosen > places).mean(axis=0), (chosen == places).mean(axis=0), b""

    def _room_of_row(self, cell: int) -> int:
        return self.shape.cols - cell % self.shape.cols


def _element_starts(reader: _Reader, body: bytes) -> list[tuple[int, int]]:
    """Where each cell or run of the text begins: its byte and its first cell."""
    starts, byte, cell = [], 0, 0
    for element in _SEPARATORS.split(body):
        starts.append((byte, cell))
        byte += len(element) + len(_SEPARATOR)
        cell += 1 if reader.format_name == "sd" else int(element.rpartition(b"*")[2])
    return starts
