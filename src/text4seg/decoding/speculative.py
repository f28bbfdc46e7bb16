"""The model's side of decoding: what waits to be fed, what is guessed, and the cache.

A decoding is a generator: it yields the tokens of its next pass and is sent the rows of logits
that follow them. So one loop feeds one sequence (``engine``) and another a batch (``batch``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from text4seg.decoding.draft_length import DraftLength
from text4seg.decoding.drafters import DraftContext, RowDraft, guess_tokens
from text4seg.decoding.errors import ContextError, DecodingError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from text4seg.decoding.draft_length import MeasuredPassCost, PassCost
    from text4seg.decoding.drafters import Drafter
    from text4seg.decoding.sampler import Sampler
    from text4seg.models.interface import LogitRows, Logits

_MEASURE = 1 << 16  # tokens of a guess that only counts how many are missing


class SpeculativeLoop:
    """Writes with as few passes as the draft allows.

    Args:
        rollback: Drops the last n tokens from the cache.
        max_context: How many tokens fit into the context after the prompt; None: no limit.
    """

    def __init__(  # noqa: PLR0913 - the two sides of the loop and its limits
        self,
        rollback: Callable[[int], None],
        sampler: Sampler,
        drafter: Drafter,
        pass_cost: PassCost | MeasuredPassCost,
        *,
        max_tokens: int,
        max_context: int | None,
        context: DraftContext,
    ) -> None:
        self.pending: list[int] = []  # written, not yet in the cache
        self.count = self.drafted = self.accepted = self.fed = 0
        self.drafter = drafter
        self._rollback = rollback
        self._sampler = sampler
        self._pass_cost = pass_cost
        self._length = DraftLength(pass_cost)
        self._max_tokens = max_tokens
        self._max_context = max_context
        self._context = context
        self._ahead: list[int] = []  # tokens of the draft that are in the cache,
        self._at = 0  # from here on not written
        self._rows: LogitRows = ()  # of the last pass
        self._place = 0  # in these rows: what follows the first token ahead
        self._guessed = self._held = 0  # of the last draft
        self._started = 0.0
        self._sent = 0
        self._forcing = False  # until a draft fails on a token that was no choice

    def accept(self, row: Logits | None) -> Logits | None:
        """Write on from ``row`` as long as the draft tells what follows or the grammar forces it.

        Returns the row after what is written where the draft has it and the text is at its end,
        else None. For texts without tokens to be tried; those need ``advance``.
        """
        sampler, state = self._sampler, self._sampler.state
        skips, at_hand = self.drafter.skips_forced, row is not None
        while len(sampler.tokens) < self._max_tokens and not state.finished:
            forced = state.forced() is not None
            if not at_hand and not (skips and forced):
                return None
            if row is None and not forced:
                row = self._rows[self._place - 1]
            at_hand = self._take(sampler.write(row), forced=forced)
            row = None
        return self._rows[self._place - 1] if at_hand else None

    def advance(self, row: Logits | None) -> Generator[list[int], LogitRows, Logits | None]:
        """Write one token; the row after it where a draft has brought it along, else None.

        Without a row only a forced token can be written.
        """
        sampler = self._sampler
        if row is not None:
            while (wanted := sampler.wants(row)) is not None:
                sampler.look((yield from self._try(list(wanted))))
        forced = sampler.state.forced() is not None
        follows = self._take(sampler.write(row), forced=forced)
        return self._rows[self._place - 1] if follows else None

    def _take(self, token: int | None, *, forced: bool) -> bool:
        """Note what was written, None at the end; whether the row after it is at hand."""
        at, ahead = self._at, self._ahead
        if at < len(ahead) and ahead[at] == token:
            self._at += 1
            self._held += 1
            self._place += 1
            return True
        self._forcing |= forced and at < len(ahead)
        if token is not None:
            self.pending.append(token)
        self.drop()
        return False

    def run(self) -> Generator[list[int], LogitRows, Logits]:
        """Feed what is pending and a draft; the row after what was pending."""
        draft = self._draft()
        self._guessed = len(draft)
        return (yield from self._feed(draft))

    def drop(self) -> None:
        """Cut what is left of the draft from the cache."""
        left = len(self._ahead) - self._at
        self._ahead, self._at = [], 0
        if left:
            self._rollback(left)

    def settle(self) -> None:
        """Note how the last pass fared: its time, its draft. Drops what is left of the draft."""
        self.drop()
        if self._sent:
            self._pass_cost.note(self._sent, time.perf_counter() - self._started)
            self._length.learn(self._guessed, self._held)
        self.accepted += self._held
        self._sent = self._guessed = self._held = 0

    def _feed(self, draft: list[int]) -> Generator[list[int], LogitRows, Logits]:
        fed = [*self.pending, *draft]
        self._started, self._sent = time.perf_counter(), len(fed)
        rows = yield fed
        self.count += 1
        self.fed += len(fed)
        self.drafted += len(draft)
        self._place = len(fed) - len(draft)
        self.pending, self._ahead, self._at, self._rows = [], draft, 0, rows
        if len(rows) != len(fed):
            raise DecodingError(f"the model gave {len(rows)} rows of logits for {len(fed)} tokens")
        return rows[self._place - 1]

    def _try(self, tokens: list[int]) -> Generator[list[int], LogitRows, Logits]:
        """The row behind tokens that are not written: the draft has it, or a pass of its own."""
        if self._ahead[self._at : self._at + len(tokens)] != tokens:
            self._guessed = self._held  # what is left of the draft was not wrong, only elsewhere
            self.settle()
            self._check_context(len(tokens))
            yield from self._feed(tokens)
        return self._rows[self._place + len(tokens) - 1]

    def _draft(self) -> list[int]:
        """Tokens guessed to follow."""
        self._check_context(0)
        written = len(self._sampler.tokens)
        limit = (
            self._max_tokens
            if self._max_context is None
            else min(self._max_tokens, self._max_context)
        )
        length = min(self._length(len(self.pending)), limit - written)
        return self._guess(self.drafter, length) if length > 0 else []

    def _guess(self, drafter: Drafter, length: int) -> list[int]:
        sampler = self._sampler
        guess = drafter.guess(bytes(sampler.text))
        return guess_tokens(guess, sampler.state, sampler.vocabulary, length, forcing=self._forcing)

    def _check_context(self, more: int) -> None:
        """Raise where the text and so many tokens more do not fit into the context."""
        written = len(self._sampler.tokens)
        if self._max_context is not None and written + more > self._max_context:
            needed = written + len(self._guess(RowDraft(self._context), _MEASURE))
            raise ContextError(self._max_context, max(needed, written + more))
