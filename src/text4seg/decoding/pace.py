"""How far to draft: as far as it pays, given what was accepted and what a longer pass costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Pace:
    """What a pass costs by its number of tokens, and the longest draft.

    A pass of up to ``free`` tokens costs as much as one of a single token; from there on, every
    ``slope`` further tokens cost one such pass more. The defaults fit small models on two CPU
    cores; a GPU has hundreds of free tokens (``UNBOUNDED`` takes drafts as wholly free).
    """

    max_draft: int = 512
    free: int = 16
    slope: float = 32.0


UNBOUNDED = Pace(max_draft=1 << 16, free=1 << 30)
"""Always draft to the end of the mask: the fewest passes."""

_PRIOR_ACCEPTED, _PRIOR_REJECTED = 24.0, 1.0
_MEMORY = 0.8  # how much of the counts is kept from one draft to the next


class DraftLength:
    """Chooses each draft's length from the drafts before it.

    A guessed token is taken to hold with one probability p, estimated from recent drafts; the
    length then maximises expected tokens per cost of the pass.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._accepted = _PRIOR_ACCEPTED
        self._rejected = _PRIOR_REJECTED
        self._lengths = np.arange(min(pace.max_draft, 4096) + 1, dtype=np.float64)

    def __call__(self, pending: int) -> int:
        """Tokens to draft in a pass that feeds ``pending`` tokens anyway."""
        pace = self._pace
        if pending + pace.max_draft <= pace.free:
            return pace.max_draft
        p = self._accepted / (self._accepted + self._rejected)
        gain = pending + p * (1.0 - p**self._lengths) / (1.0 - p)
        cost = 1.0 + np.maximum(self._lengths + pending - pace.free, 0.0) / pace.slope
        return int(np.argmax(gain / cost))

    def learn(self, drafted: int, accepted: int) -> None:
        """Note how a draft fared."""
        if drafted == 0:
            return
        self._accepted = _MEMORY * self._accepted + accepted
        self._rejected = _MEMORY * self._rejected + (accepted < drafted)
