"""How far to draft: as far as it pays, given what was accepted and what a longer pass costs."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64


@dataclass(frozen=True, slots=True)
class PassCost:
    """What a pass costs by its number of tokens, and the longest draft.

    The defaults fit small models on two CPU cores; a GPU has hundreds of free tokens (`UNBOUNDED`
    takes drafts as wholly free).

    Attributes:
        max_draft: The longest draft, in tokens.
        free: A pass of up to so many tokens costs as much as one of a single token.
        slope: Every `slope` further tokens cost one such pass more.
    """

    max_draft: int = 512
    free: int = 16
    slope: float = 32.0

    def costs(self, tokens: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """What passes of some numbers of tokens cost, in any unit.

        Args:
            tokens: Numbers of tokens.

        Returns:
            A cost for each; only their ratios matter.
        """
        costs: Float64[np.ndarray, " n"] = 1.0 + np.maximum(tokens - self.free, 0.0) / self.slope
        return costs

    def note(self, tokens: int, seconds: float) -> None:
        """Ignore a measured pass.

        Args:
            tokens: How many tokens it was fed.
            seconds: How long it took.
        """


FOR_PROCESSORS = PassCost()
"""What suits a CPU, where nothing is measured."""

UNBOUNDED = PassCost(max_draft=1 << 16, free=1 << 30)
"""Always draft to the end of the mask: the fewest passes."""

# Passes that are remembered for each class of lengths: few enough to follow a change of load.
_KEPT = 8


class MeasuredPassCost:
    """What passes cost on this device, learned from those that were made.

    Passes are sorted into classes by length (doubling); a class costs the median of its last few.
    Between classes costs are interpolated; beyond the longest pass made they go on as steeply as
    before it, at first as in `start`. So where long passes turn out cheap, longer ones are tried.
    Keep one for each model: what it learned holds for the next mask. Not for several threads.

    Args:
        start: What is assumed before two lengths of passes were measured.

    Attributes:
        max_draft: The longest draft, in tokens.
        free: How many tokens a pass takes at the cost of one; none is known.
    """

    def __init__(self, start: PassCost | None = None) -> None:
        self._start = start or FOR_PROCESSORS
        self.max_draft = self._start.max_draft
        # No number of tokens is known to be free.
        self.free = 0
        self._passes: dict[int, deque[tuple[int, float]]] = {}
        self._medians: dict[int, tuple[float, float]] = {}

    def note(self, tokens: int, seconds: float) -> None:
        """Learn from a pass.

        Args:
            tokens: How many tokens it was fed.
            seconds: How long it took.
        """
        # Lengths are sorted into classes that double.
        kind = max(0, tokens - 1).bit_length()
        passes = self._passes.setdefault(kind, deque(maxlen=_KEPT))
        passes.append((tokens, seconds))
        lengths, times = zip(*passes, strict=True)
        self._medians[kind] = median(lengths), median(times)

    def costs(self, tokens: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Seconds of passes; as in `start` until passes of two classes were made.

        Args:
            tokens: Numbers of tokens.

        Returns:
            A cost for each, in seconds once it is measured.
        """
        if len(self._medians) < 2:
            return self._start.costs(tokens)
        lengths, seconds = np.array([self._medians[kind] for kind in sorted(self._medians)]).T
        # A longer pass is never taken to be cheaper, however noisy the measurements are.
        seconds = np.maximum.accumulate(np.maximum(seconds, 1e-9))
        slope = (seconds[-1] - seconds[-2]) / (lengths[-1] - lengths[-2])
        beyond = np.maximum(tokens - lengths[-1], 0.0) * slope
        known: Float64[np.ndarray, " n"] = np.interp(tokens, lengths, seconds) + beyond
        return known


# Before anything is measured, a guessed token is taken to hold with probability 24/25.
_PRIOR_ACCEPTED, _PRIOR_REJECTED = 24.0, 1.0
# The share of the counts that is kept from one draft to the next.
_MEMORY = 0.8


class DraftLength:
    """Chooses each draft's length from the drafts before it.

    A guessed token is taken to hold with one probability p, estimated from recent drafts; the
    length then maximises expected tokens per cost of the pass.
    """

    def __init__(self, pass_cost: PassCost | MeasuredPassCost) -> None:
        self._pass_cost = pass_cost
        self._accepted = _PRIOR_ACCEPTED
        self._rejected = _PRIOR_REJECTED
        self._lengths = np.arange(min(pass_cost.max_draft, 4096) + 1, dtype=np.float64)

    def __call__(self, pending: int) -> int:
        """How many tokens to draft in a pass that feeds `pending` tokens anyway."""
        pass_cost = self._pass_cost
        # Where even the longest draft is free, draft to the end.
        if pending + pass_cost.max_draft <= pass_cost.free:
            return pass_cost.max_draft
        p = min(self._accepted / (self._accepted + self._rejected), 1.0 - 1e-9)
        # The expected number of tokens is a geometric series; p**n as an exponential is several
        # times quicker than a power.
        gain = pending + p * (1.0 - np.exp(self._lengths * math.log(p))) / (1.0 - p)
        return int((gain / pass_cost.costs(self._lengths + pending)).argmax())

    def learn(self, drafted: int, accepted: int) -> None:
        """Learn from a draft: how many tokens it had and how many were accepted."""
        # A pass without a draft tells nothing.
        if drafted == 0:
            return
        self._accepted = _MEMORY * self._accepted + accepted
        self._rejected = _MEMORY * self._rejected + (accepted < drafted)
