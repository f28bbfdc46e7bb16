"""Greedy decoding under a grammar, in as few forward passes as the draft allows.

The text written is the one that plain constrained greedy decoding writes, token for token:

- where the grammar forces tokens they are taken, without a pass of their own;
- elsewhere the best allowed token is taken;
- tokens that a drafter guessed to follow are fed in the same pass and kept as long as they equal
  what the two rules above choose; the rest is cut from the model's cache.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from text4seg.core.errors import GrammarError
from text4seg.decoding.drafts import guess_tokens, make_drafter
from text4seg.decoding.errors import DecodingError
from text4seg.decoding.pace import DraftLength, Pace
from text4seg.decoding.stats import Decision, Decoded, DecodingStats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jaxtyping import Float, Float32, Int

    from text4seg.decoding.drafts import Drafter
    from text4seg.decoding.grammar import CompiledGrammar, GrammarState
    from text4seg.decoding.vocabulary import Vocabulary

LISTED_ALTERNATIVES = 1024
"""A decision lists at most so many allowed tokens, the most probable ones."""

MAX_TOKENS = 1 << 17
"""Default token limit: more than the flat text of the largest grid (256×256) needs."""


class Row(Protocol):
    """The logits after one token, by token id; a float32 array ``vocab`` is the usual one.

    Only the logits of allowed tokens are read, so a row may compute them where they are asked for.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, tokens: Int[np.ndarray, " n"], /) -> Float[np.ndarray, " n"]: ...


class Rows(Protocol):
    """A row for each fed token; a float32 array ``n vocab`` is the usual one.

    Rows are read one by one and not all of them, so they may be made on demand.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


class Step(Protocol):
    """A language model with a cache that already holds the prompt."""

    def __call__(self, tokens: Sequence[int], /) -> Rows:
        """Feed ``tokens`` after the cache; the logits that follow each of them."""
        ...

    def cut(self, n: int, /) -> None:
        """Drop the last ``n`` fed tokens from the cache."""
        ...


def decode(  # noqa: PLR0913 - a model, a language and how to go about it
    step: Step,
    first_logits: Row,
    vocabulary: Vocabulary,
    grammar: CompiledGrammar,
    *,
    draft: str | Drafter = "row",
    bias: Mapping[int, float] | Callable[[int], float] | None = None,
    pace: Pace | None = None,
    max_tokens: int = MAX_TOKENS,
    on_tokens: Callable[[tuple[int, ...]], None] | None = None,
) -> Decoded:
    """Write a text of ``grammar``, always the best allowed token.

    Args:
        step: the model; its cache holds the prompt.
        first_logits: the logits after the prompt.
        vocabulary: the one that ``grammar`` was compiled for.
        grammar: the language of the text.
        draft: a drafter or its name (``DRAFTERS``). It changes the number of passes, never the
            tokens.
        bias: token id → offset added to its logit wherever several tokens are allowed.
        pace: how far to draft; by default what suits a CPU.
        max_tokens: where to stop an endless text; the result then says ``complete=False``.
        on_tokens: called with the new tokens after each pass, in order. It may raise to cancel.

    At any call of ``on_tokens``, at any error and at the end, the cache holds the prompt and a
    prefix of the tokens written, no draft.

    Raises:
        GrammarError: the grammar was compiled for another vocabulary, or no token can continue.
        DecodingError: ``step`` gave the wrong number of rows, too short rows, or no finite logit.
    """
    if grammar.vocabulary is not vocabulary:
        raise GrammarError("the grammar was compiled for another vocabulary")
    started = time.perf_counter()
    drafter = make_drafter(draft) if isinstance(draft, str) else draft
    writer = _Writer(vocabulary, grammar.start(), bias)
    passes = _Passes(step, writer, drafter, pace or Pace(), max_tokens)
    row = first_logits
    told = 0
    while not (complete := writer.state.finished) and len(writer.tokens) < max_tokens:
        if passes.pending and not (drafter.skips_forced and writer.state.forced() is not None):
            row = passes.run()
        else:
            passes.write(row)
            continue
        if on_tokens is not None and len(writer.tokens) > told:
            on_tokens(tuple(writer.tokens[told:]))
            told = len(writer.tokens)
    if on_tokens is not None and len(writer.tokens) > told:
        on_tokens(tuple(writer.tokens[told:]))
    return writer.decoded(passes, complete, time.perf_counter() - started)


class _Writer:
    """The text so far and the one rule for its next token; knows nothing of passes."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        state: GrammarState,
        bias: Mapping[int, float] | Callable[[int], float] | None,
    ) -> None:
        self.vocabulary = vocabulary
        self.state = state
        self.tokens: list[int] = []
        self.text = bytearray()
        self._bias = bias
        self._log_probabilities: list[float] = []
        self._decisions: list[Decision] = []

    def write(self, row: Row) -> int | None:
        """Write the next token: the forced one, else the best by ``row``; None at the end."""
        token = self.state.forced()
        if token is None:
            token, log_probability = self._choose(row)
        else:
            log_probability = 0.0
        self.state.advance(token)
        if token == self.vocabulary.eos:
            return None
        self.tokens.append(token)
        self.text += self.vocabulary.tokens[token]
        self._log_probabilities.append(log_probability)
        return token

    def _choose(self, row: Row) -> tuple[int, float]:
        allowed = self.state.allowed()
        if allowed[-1] >= len(row):
            raise DecodingError(
                f"the model gave {len(row)} logits, but token {allowed[-1]} of a vocabulary of "
                f"{len(self.vocabulary)} is allowed here"
            )
        logits = np.asarray(row[allowed], dtype=np.float32)
        if self._bias is not None:
            logits = logits + self._offsets(allowed)
        best = int(np.argmax(logits))
        if not np.isfinite(logits[best]):
            raise DecodingError(
                f"the model gave {logits[best]} as the best logit at token {len(self.tokens)}"
            )
        shifted = logits - logits[best]
        log_probabilities = shifted - np.log(np.sum(np.exp(shifted)))
        self._note(allowed, log_probabilities)
        return int(allowed[best]), float(log_probabilities[best])

    def _offsets(self, allowed: Int[np.ndarray, " allowed"]) -> Float32[np.ndarray, " allowed"]:
        bias = self._bias
        if callable(bias):
            values = [bias(token) for token in allowed.tolist()]
        elif bias is not None:
            values = [bias.get(token, 0.0) for token in allowed.tolist()]
        return np.array(values, dtype=np.float32)

    def _note(
        self,
        allowed: Int[np.ndarray, " allowed"],
        log_probabilities: Float32[np.ndarray, " allowed"],
    ) -> None:
        if len(allowed) > LISTED_ALTERNATIVES:
            kept = np.argpartition(-log_probabilities, LISTED_ALTERNATIVES)[:LISTED_ALTERNATIVES]
            kept.sort()
            allowed, log_probabilities = allowed[kept], log_probabilities[kept]
        self._decisions.append(Decision(len(self.tokens), allowed, log_probabilities))

    def decoded(self, passes: _Passes, complete: bool, seconds: float) -> Decoded:  # noqa: FBT001
        chosen = [d for d in self._decisions if d.index < len(self.tokens)]
        stats = DecodingStats(
            passes=passes.count,
            tokens=len(self.tokens),
            forced=len(self.tokens) - len(chosen),
            drafted=passes.drafted,
            accepted=passes.accepted,
            fed=passes.fed,
            seconds=seconds,
        )
        return Decoded(
            tokens=tuple(self.tokens),
            log_probabilities=np.array(self._log_probabilities, dtype=np.float32),
            decisions=tuple(self._decisions),
            stats=stats,
            complete=complete,
        )


class _Passes:
    """The model's side: what waits to be fed, what is guessed, and the cache."""

    def __init__(
        self, step: Step, writer: _Writer, drafter: Drafter, pace: Pace, max_tokens: int
    ) -> None:
        self.pending: list[int] = []  # written, not yet in the cache
        self.count = self.drafted = self.accepted = self.fed = 0
        self._step = step
        self._writer = writer
        self._drafter = drafter
        self._length = DraftLength(pace)
        self._max_tokens = max_tokens
        self._forcing = False  # until a draft fails on a token that was no choice

    def write(self, row: Row) -> None:
        """Write one token, to be fed with the next pass."""
        token = self._writer.write(row)
        if token is not None:
            self.pending.append(token)

    def run(self) -> Row:
        """Feed what is pending and a draft, keep what holds; the logits after the text.

        After a rejected draft the right token is already written (and pending), and the row
        that is given back is out of date, as it is whenever something is pending.
        """
        pending, draft = self.pending, self._draft()
        rows = self._step([*pending, *draft])
        self.count += 1
        self.fed += len(pending) + len(draft)
        self.pending = []
        accepted = 0
        try:
            self._check(rows, len(pending) + len(draft))
            accepted = self._accept(rows, len(pending), draft)
        finally:
            if accepted < len(draft):
                self._step.cut(len(draft) - accepted)
        self.drafted += len(draft)
        self.accepted += accepted
        self._length.learn(len(draft), accepted)
        return rows[len(pending) - 1 + accepted]

    def _accept(self, rows: Rows, fed: int, draft: list[int]) -> int:
        """Write on as long as the draft guessed what is written; how many guesses held."""
        writer = self._writer
        for place, guess in enumerate(draft):
            if writer.state.finished:
                return place
            forced = writer.state.forced() is not None
            token = writer.write(rows[fed - 1 + place])
            if token != guess:
                self._forcing |= forced
                if token is not None:
                    self.pending.append(token)
                return place
        return len(draft)

    def _check(self, rows: Rows, expected: int) -> None:
        if len(rows) != expected:
            raise DecodingError(f"the model gave {len(rows)} rows of logits for {expected} tokens")

    def _draft(self) -> list[int]:
        """Tokens guessed to follow."""
        room = self._max_tokens - len(self._writer.tokens)
        length = min(self._length(len(self.pending)), room)
        if length <= 0:
            return []
        writer = self._writer
        guess = self._drafter.guess(bytes(writer.text))
        state, vocabulary = writer.state, writer.vocabulary
        return guess_tokens(guess, state, vocabulary, length, forcing=self._forcing)
