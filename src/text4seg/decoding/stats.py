"""The results of decoding: tokens, the choices behind them, and their cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, Int


@dataclass(frozen=True, slots=True)
class DecodingStats:
    """What one decoding cost.

    Attributes:
        passes: Forward passes after the prefill.
        tokens: Tokens written.
        forced: Of these, tokens that the grammar left no choice about.
        drafted: Tokens that were guessed.
        accepted: Of these, guesses that held.
        fed: Tokens that went through the passes, drafts included.
        seconds: Wall time.
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
    """One choice of the model.

    Attributes:
        index: The position of the token in the text.
        tokens: The allowed tokens; where very many are allowed (open labels), the most probable.
        log_probabilities: Normalized among all allowed tokens, any bias included.
    """

    index: int
    tokens: Int[np.ndarray, " allowed"]
    log_probabilities: Float32[np.ndarray, " allowed"]


@dataclass(frozen=True, slots=True, eq=False)
class DecodingResult:
    """A decoded text.

    Attributes:
        tokens: The tokens of the text, without an end token.
        log_probabilities: Of each token given the grammar: 0 for a forced token, else the chosen
            token's share among the allowed.
        decisions: The choices, in order.
        stats: What the decoding cost.
        complete: False if the token limit cut the text short.
    """

    tokens: tuple[int, ...]
    log_probabilities: Float32[np.ndarray, " tokens"]
    decisions: tuple[Decision, ...]
    stats: DecodingStats
    complete: bool
