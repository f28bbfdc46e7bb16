"""The text so far and the rule for its next token; knows nothing of passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from text4seg.core.errors import InputError
from text4seg.decoding.errors import DecodingError
from text4seg.decoding.stats import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jaxtyping import Float32, Int

    from text4seg.decoding.compiled_grammar import GrammarState
    from text4seg.decoding.median_counts import MedianCounts
    from text4seg.decoding.vocabulary import Vocabulary
    from text4seg.models.interface import Logits

LISTED_ALTERNATIVES = 1024
"""A decision lists at most this many allowed tokens, the most probable ones."""

# Up to this many alternatives, plain Python arithmetic is quicker than numpy.
_FEW = 48


@dataclass(frozen=True, slots=True)
class Sampling:
    """Samples each choice from the model's distribution instead of taking the likeliest token.

    One random number is used for each choice, in the order of the text: the same seed writes the
    same text with every draft.

    Attributes:
        temperature: A number above zero.
        seed: Of the random numbers.

    Raises:
        InputError: The temperature is not above zero.
    """

    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < np.inf:
            raise InputError(f"a temperature is a number above zero, got {self.temperature}")


class Sampler:
    """Writes a text token by token; a token that is written stays.

    Args:
        vocabulary: The tokenizer.
        state: Where the text stands in its grammar.
        bias: Offsets of logits by token id.
        sampling: None takes the likeliest token.
        counts: Takes run lengths at the median; None takes the likeliest digits.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        state: GrammarState,
        *,
        bias: Mapping[int, float] | Callable[[int], float] | None = None,
        sampling: Sampling | None = None,
        counts: MedianCounts | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.state = state
        self.tokens: list[int] = []
        self.text = bytearray()
        self.log_probabilities: list[float] = []
        self.decisions: list[Decision] = []
        self._bias = bias
        # Keyed by the identity of the array of allowed tokens, which grammars cache.
        self._offsets_of: dict[int, tuple[object, Float32[np.ndarray, " allowed"]]] = {}
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed) if sampling else None
        self._count = counts.start(vocabulary.tokens, self.log_shares) if counts else None

    @property
    def takes_medians(self) -> bool:
        """Whether run lengths are taken at the median, which may need tokens to be tried."""
        return self._count is not None

    def wants(self, row: Logits) -> tuple[int, ...] | None:
        """Tokens that have to be tried before the next one can be written.

        Args:
            row: The logits after the text.

        Returns:
            Tokens whose logits `look` needs; they are not written. None if there are none.
        """
        if self._count is None or self.state.finished or self.state.forced() is not None:
            return None
        return self._count.wants(bytes(self.text), self.state, row)

    def look(self, row: Logits) -> None:
        """Use the logits after the tokens that were last wanted."""
        if self._count is not None:
            self._count.look(row)

    def write(self, row: Logits | None) -> int | None:
        """Write the next token.

        Args:
            row: The logits after the text; None where the grammar forces the token.

        Returns:
            The token; None if the text has ended.
        """
        token = self.state.forced()
        if token is None:
            # The speculative loop never asks for a choice without logits.
            assert row is not None, "a choice needs logits"  # noqa: S101
            token, log_probability = self._choose(row)
        else:
            log_probability = 0.0
        self.state.take(token)
        if token == self.vocabulary.eos:
            return None
        self.tokens.append(token)
        self.text += self.vocabulary.tokens[token]
        self.log_probabilities.append(log_probability)
        return token

    def log_shares(
        self, row: Logits, allowed: Int[np.ndarray, " allowed"]
    ) -> Float32[np.ndarray, " allowed"]:
        """Log-probabilities among the allowed tokens, the bias included."""
        return self._weigh(row, allowed)[1]

    def _weigh(
        self, row: Logits, allowed: Int[np.ndarray, " allowed"]
    ) -> tuple[int, Float32[np.ndarray, " allowed"]]:
        """The place of the best allowed token, and the log-probabilities."""
        # Allowed ids are ascending, so the last one is the largest.
        if allowed[-1] >= len(row):
            raise DecodingError(
                f"the model gave {len(row)} logits, but token {allowed[-1]} of a vocabulary of "
                f"{len(self.vocabulary)} is allowed here"
            )
        logits = np.asarray(row[allowed], dtype=np.float32)
        if self._bias is not None:
            logits = logits + self._offsets(allowed)
        if len(logits) > _FEW:
            # argmax finds a NaN, if there is one, so that `_check` reports it.
            place = int(np.argmax(logits))
            self._check(float(logits[place]))
            shifted = logits - logits[place]
            shares: Float32[np.ndarray, " allowed"] = shifted - np.log(np.sum(np.exp(shifted)))
            return place, shares
        # The same in plain Python; a sum shows whether any value is NaN.
        values = logits.tolist()
        best = max(values)
        self._check(best if not math.isnan(sum(values)) or math.isinf(best) else math.nan)
        total = best + math.log(sum([math.exp(value - best) for value in values]))
        return values.index(best), np.array([value - total for value in values], dtype=np.float32)

    def _check(self, best: float) -> None:
        if not math.isfinite(best):
            raise DecodingError(
                f"the model gave {best} as the best logit at token {len(self.tokens)}"
            )

    def _choose(self, row: Logits) -> tuple[int, float]:
        allowed = self.state.allowed()
        chosen, shares = self._weigh(row, allowed)
        self._note(allowed, shares)
        kept = self._count.keep(bytes(self.text), allowed) if self._count is not None else None
        # The median decides which digits may follow; among these the likeliest token is taken.
        if kept is not None:
            chosen = int(kept[np.argmax(shares[kept])])
        elif self._sampling is not None:
            chosen = self._draw(shares)
        return int(allowed[chosen]), float(shares[chosen])

    def _draw(self, shares: Float32[np.ndarray, " allowed"]) -> int:
        assert self._sampling is not None and self._random is not None  # noqa: S101, PT018
        # Inverse transform sampling: one random number for each choice, with every draft.
        weights = np.exp(
            (shares - shares.max()).astype(np.float64) / self._sampling.temperature
        ).cumsum()
        place = np.searchsorted(weights, self._random.random() * weights[-1], side="right")
        return min(int(place), len(weights) - 1)

    def _offsets(self, allowed: Int[np.ndarray, " allowed"]) -> Float32[np.ndarray, " allowed"]:
        """The bias of these tokens; a text has few different sets of them, kept by identity."""
        # The identity alone could be that of a new array at the same address: compare the object.
        kept = self._offsets_of.get(id(allowed))
        if kept is not None and kept[0] is allowed:
            return kept[1]
        bias = self._bias
        if callable(bias):
            values = [bias(token) for token in allowed.tolist()]
        elif bias is not None:
            values = [bias.get(token, 0.0) for token in allowed.tolist()]
        offsets = np.array(values, dtype=np.float32)
        self._offsets_of[id(allowed)] = allowed, offsets
        return offsets

    def _note(
        self,
        allowed: Int[np.ndarray, " allowed"],
        log_probabilities: Float32[np.ndarray, " allowed"],
    ) -> None:
        # With open labels, nearly every token is allowed: keep what has any weight.
        if len(allowed) > LISTED_ALTERNATIVES:
            kept = np.argpartition(-log_probabilities, LISTED_ALTERNATIVES)[:LISTED_ALTERNATIVES]
            kept.sort()
            allowed, log_probabilities = allowed[kept], log_probabilities[kept]
        self.decisions.append(Decision(len(self.tokens), allowed, log_probabilities))


def background_bias(
    vocabulary: Vocabulary, offset: float, *, words: Sequence[str] = ("others",)
) -> dict[int, float]:
    """An offset for the tokens that begin the background's label, at a row's start or within.

    Where a tokenizer merges a label with what stands before it, these merged tokens are not
    reached; the tokenizers of language models split there.
    """
    spelled = [spaced for word in words for spaced in (word, f" {word}")]
    return {vocabulary.encode(text.encode())[0]: offset for text in spelled}
