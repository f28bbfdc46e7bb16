"""Run lengths at the median of their distribution instead of by their likeliest digits.

The likeliest digits are biased to long runs: the probability of a run that ends about here is split
over many lengths, and the one length that is sharply known, to the end of the row, wins. The median
has no such bias. Its price is a pass now and then: where a count of one digit competes with counts
of two, the probabilities of the second digit have to be computed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float64, Int

    from text4seg.codec import OpenRun, Syntax
    from text4seg.core.types import GridShape
    from text4seg.decoding.compiled_grammar import GrammarState
    from text4seg.models.interface import Logits

LogShares: TypeAlias = "Callable[[Logits, np.ndarray], np.ndarray]"
"""Logits and allowed token ids to the log-probabilities of these tokens."""

_DIGITS = re.compile(rb"[0-9]*")
_BACKGROUND = OTHERS.encode()


@dataclass(frozen=True, slots=True)
class MedianCounts:
    """Takes each run as long as a cell at its end is more likely in it than not.

    So a run ends at the median of its length's distribution. `bias` is added to the log-odds of
    the background in every cell: a run of `others` then ends at another quantile, earlier for a
    negative bias, and a run of a label later. Text without run lengths is not changed.

    Attributes:
        syntax: The syntax of the text.
        shape: The grid.
        bias: Log-odds.
    """

    syntax: Syntax
    shape: GridShape
    bias: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.bias):
            raise InputError(f"a bias is a finite number, got {self.bias}")

    def start(self, tokens: Sequence[bytes], log_shares: LogShares) -> CountState:
        """Begin a text.

        Args:
            tokens: The bytes of every token.
            log_shares: The log-probabilities of allowed tokens, given logits.

        Returns:
            The state of that text.
        """
        return CountState(self, tokens, log_shares)


class CountState:
    """The count that is being written in one text, as far as its distribution is known."""

    def __init__(self, rule: MedianCounts, tokens: Sequence[bytes], log_shares: LogShares) -> None:
        self._rule = rule
        self._tokens, self._log_shares = tokens, log_shares
        # Byte offset of the open count, which identifies it; -1: none is open.
        self._offset = -1
        self._known: _Lengths | None = None
        self._chosen = b""

    def wants(self, text: bytes, state: GrammarState, row: Logits) -> tuple[int, ...] | None:
        """Tokens to be tried before the count can be chosen; None once it is."""
        run = self._rule.syntax.open_run(text, self._rule.shape)
        offset = -1 if run is None else run.offset
        if offset != self._offset:
            self._offset, self._known, self._chosen = offset, None, b""
            if run is not None:
                self._begin(run, state, row)
        if self._known is None:
            return None
        wanted = self._known.unclear()
        if wanted is None:
            self._chosen, self._known = b"%d" % self._known.longest(), None
        return wanted

    def look(self, row: Logits) -> None:
        """Use the logits after the tokens that were wanted."""
        assert self._known is not None, "wants() returned tokens"  # noqa: S101
        self._known.open_up(row)

    def keep(
        self, text: bytes, allowed: Int[np.ndarray, " allowed"]
    ) -> Int[np.ndarray, " kept"] | None:
        """Places in `allowed` of the tokens that write the chosen count; None: all of them."""
        run = self._rule.syntax.open_run(text, self._rule.shape)
        if run is None or run.offset != self._offset or not self._chosen:
            return None
        tokens = self._tokens
        fits = [_spells(run.digits + tokens[token], self._chosen) for token in allowed.tolist()]
        return np.flatnonzero(np.array(fits)) if any(fits) else None

    def _begin(self, run: OpenRun, state: GrammarState, row: Logits) -> None:
        # A positive bias ends runs of a label early and runs of the background late.
        sign = 1.0 if run.label == _BACKGROUND else -1.0
        floor = 1.0 / (1.0 + math.exp(sign * self._rule.bias))
        known = _Lengths(self._tokens, self._log_shares, run.cells_left, floor)
        if known.add((), run.digits, 1.0, state.copy(), row):
            self._known = known


class _Lengths:
    """The distribution of a count from 1 to `most`, as far as it was computed."""

    def __init__(
        self, tokens: Sequence[bytes], log_shares: LogShares, most: int, floor: float
    ) -> None:
        self._tokens, self._log_shares = tokens, log_shares
        self._floor = floor
        self._mass = np.zeros(most + 1)
        # Beginnings of counts whose next digit is not known: tokens, digits, probability, place.
        self._open: list[tuple[tuple[int, ...], bytes, float, GrammarState]] = []

    def add(
        self, path: tuple[int, ...], digits: bytes, mass: float, state: GrammarState, row: Logits
    ) -> bool:
        """Distribute the `mass` of counts that begin with `digits`; False if they are no counts."""
        allowed = state.allowed()
        if len(allowed) == 1:
            shares = np.ones(1)
        else:
            shares = np.exp(self._log_shares(row, allowed).astype(np.float64))
        tokens = self._tokens
        for token, share in zip(allowed.tolist(), (shares * mass).tolist(), strict=True):
            text = digits + tokens[token]
            number = _digits(text)
            if not number:
                return False
            count = int(number)
            if not 1 <= count < len(self._mass):
                return False
            # The count is complete if something follows its digits, or no further digit fits.
            if len(number) < len(text) or count * 10 >= len(self._mass):
                self._mass[count] += share
                continue
            after = state.copy()
            after.advance(token)
            self._open.append(((*path, token), text, share, after))
        return True

    def open_up(self, row: Logits) -> None:
        """Replace the most probable open beginning by the counts that `row` gives."""
        path, digits, mass, state = self._open.pop(self._largest())
        if not self.add(path, digits, mass, state, row):
            self._mass[int(digits)] += mass

    def unclear(self) -> tuple[int, ...] | None:
        """Tokens whose continuation decides; None if nothing does any more."""
        # If the end is the same for the shortest and the longest open counts, no pass is needed.
        if not self._open or self._end(shortest=True) == self._end(shortest=False):
            return None
        return self._open[self._largest()][0]

    def longest(self) -> int:
        """The largest count that is reached with at least the floor's probability."""
        return self._end(shortest=True)

    def _largest(self) -> int:
        return max(range(len(self._open)), key=lambda at: self._open[at][2])

    def _end(self, *, shortest: bool) -> int:
        # Open beginnings are taken as the shortest, or as the longest, count that they can become.
        mass_of: Float64[np.ndarray, " counts"] = self._mass.copy()
        most = len(mass_of) - 1
        for _, digits, mass, _ in self._open:
            count = low = int(digits)
            high = count
            while low * 10 <= most:
                low, high = low * 10, min(high * 10 + 9, most)
            mass_of[count if shortest else high] += mass
        # P(the run reaches cell n) = P(count >= n); the run ends where it falls below the floor.
        reached = mass_of[::-1].cumsum()[::-1] / mass_of.sum()
        fits: Bool[np.ndarray, " counts"] = reached[1:] >= self._floor - 1e-9
        return max(1, int(fits.sum()))


def _digits(text: bytes) -> bytes:
    found = _DIGITS.match(text)
    return found[0] if found else b""


def _spells(text: bytes, count: bytes) -> bool:
    """Whether text begins to write this count, or ends it."""
    number = _digits(text)
    return number == count if len(number) < len(text) else count.startswith(number)
