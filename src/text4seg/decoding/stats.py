"""What decoding hands back: tokens, the choices behind them, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, Int


@dataclass(frozen=True, slots=True)
class DecodingStats:
    """Counts of one decoding.

    ``passes`` are forward passes after the prefill; ``fed`` tokens went through them, of which
    ``drafted`` were guesses and ``accepted`` guesses that held. Of the ``tokens`` written,
    ``forced`` were no choice of the model's.
    """

    passes: int
    tokens: int
    forced: int
    drafted: int
    accepted: int
    fed: int
    seconds: float

    @property
    def decisions(self) -> int:
        """Tokens that the model chose."""
        return self.tokens - self.forced


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One choice: ``tokens`` were allowed at place ``index`` of the answer.

    The log-probabilities are normalised among all allowed tokens, any bias included. Where very
    many are allowed (open labels), only the most probable are listed.
    """

    index: int
    tokens: Int[np.ndarray, " allowed"]
    log_probabilities: Float32[np.ndarray, " allowed"]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The tokens of a body, without an end token.

    ``log_probabilities`` are given the grammar: 0 for a forced token, else the chosen token's
    share among the allowed. ``complete`` is False if the token limit cut the text short.
    """

    tokens: tuple[int, ...]
    log_probabilities: Float32[np.ndarray, " tokens"]
    decisions: tuple[Decision, ...]
    stats: DecodingStats
    complete: bool
