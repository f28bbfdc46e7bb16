"""The speculative loop: which tokens the next forward pass is fed, and what of a draft is kept.

The loop is a generator: it yields the tokens of a pass and is sent the logits that follow them. So
`engine` can feed one sequence and `batched` several.
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
    """Writes a text in as few forward passes as the draft allows.

    Args:
        rollback: Drops the last n tokens from the cache.
        sampler: Chooses each token; holds the text so far.
        drafter: Guesses what follows.
        pass_cost: What a pass costs by its number of tokens.
        max_tokens: Where to stop.
        max_context: How many tokens fit into the context after the prompt; None: no limit.
        context: What the text is; used to estimate how long a text that does not fit would be.
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
        # Tokens that are chosen but not yet in the cache.
        self.pending: list[int] = []
        # Statistics: passes, drafted tokens, drafted tokens that were kept, tokens fed.
        self.count = self.drafted = self.accepted = self.fed = 0
        self.drafter = drafter
        self._rollback = rollback
        self.sampler = sampler
        self._pass_cost = pass_cost
        self._length = DraftLength(pass_cost)
        self._max_tokens = max_tokens
        self._max_context = max_context
        self._context = context
        # The draft in the cache: tokens before `_at` are accepted, the others only guessed.
        self._ahead: list[int] = []
        self._at = 0
        # The logits of the last pass, and the row that follows the last accepted token, plus one.
        self._rows: LogitRows = ()
        self._place = 0
        # Of the last draft: its length and how much of it was accepted.
        self._guessed = self._held = 0
        self._started = 0.0
        self._sent = 0
        # Forced tokens are checked in drafts only once a draft failed on one: most tokenizers
        # write them as the grammar does, and checking takes longer.
        self._forcing = False

    def accept(self, row: Logits | None) -> Logits | None:
        """Write tokens as long as no new pass is needed.

        A token needs no pass if the grammar forces it, or if the draft was right so far, so that
        the logits after it are there. Median run lengths need `advance` instead.

        Args:
            row: The logits after the text; None if they are not there.

        Returns:
            The logits after what is written, if the last pass computed them.
        """
        sampler, state = self.sampler, self.sampler.state
        skips, at_hand = self.drafter.skips_forced, row is not None
        while len(sampler.tokens) < self._max_tokens and not state.finished:
            forced = state.forced() is not None
            if not at_hand and not (skips and forced):
                return None
            if row is None and not forced:
                # A choice after accepted tokens: its logits came with the draft's pass.
                row = self._rows[self._place - 1]
            at_hand = self._take(sampler.write(row), forced=forced)
            row = None
        return self._rows[self._place - 1] if at_hand else None

    def advance(self, row: Logits | None) -> Generator[list[int], LogitRows, Logits | None]:
        """Write one token, with passes of their own for tokens that have to be tried first.

        Args:
            row: The logits after the text; None if the next token is forced.

        Yields:
            Tokens to try.

        Returns:
            The logits after the token, if a pass computed them.
        """
        sampler = self.sampler
        if row is not None:
            while (wanted := sampler.wants(row)) is not None:
                sampler.look((yield from self._try(list(wanted))))
        forced = sampler.state.forced() is not None
        follows = self._take(sampler.write(row), forced=forced)
        return self._rows[self._place - 1] if follows else None

    def _take(self, token: int | None, *, forced: bool) -> bool:
        """Compare a written token (None: the end) with the draft; whether its logits are there."""
        at, ahead = self._at, self._ahead
        if at < len(ahead) and ahead[at] == token:
            self._at += 1
            self._held += 1
            self._place += 1
            return True
        # The draft is wrong from here on. If the token was forced, the tokenizer and the grammar
        # disagree about it, and later drafts have to take forced tokens from the grammar.
        self._forcing |= forced and at < len(ahead)
        if token is not None:
            self.pending.append(token)
        self.drop()
        return False

    def run(self) -> Generator[list[int], LogitRows, Logits]:
        """Feed the pending tokens with a draft; the logits after the pending tokens."""
        draft = self._draft()
        self._guessed = len(draft)
        return (yield from self._feed(draft))

    def drop(self) -> None:
        """Drop what is left of the draft from the cache."""
        left = len(self._ahead) - self._at
        self._ahead, self._at = [], 0
        if left:
            self._rollback(left)

    def settle(self) -> None:
        """Learn from the last pass: its time and how much of its draft held."""
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
        # A model that returns fewer rows would silently shift every following choice.
        if len(rows) != len(fed):
            raise DecodingError(f"the model gave {len(rows)} rows of logits for {len(fed)} tokens")
        return rows[self._place - 1]

    def _try(self, tokens: list[int]) -> Generator[list[int], LogitRows, Logits]:
        """The logits after tokens that are not written, from the draft or a pass of their own."""
        if self._ahead[self._at : self._at + len(tokens)] != tokens:
            # The rest of the draft was not wrong, so it does not count as rejected.
            self._guessed = self._held
            self.settle()
            self._check_context(len(tokens))
            yield from self._feed(tokens)
        return self._rows[self._place + len(tokens) - 1]

    def _draft(self) -> list[int]:
        """Tokens guessed to follow the text."""
        self._check_context(0)
        written = len(self.sampler.tokens)
        limit = (
            self._max_tokens
            if self._max_context is None
            else min(self._max_tokens, self._max_context)
        )
        # Never draft past the end of the context or the token limit.
        length = min(self._length(len(self.pending)), limit - written)
        return self._guess(self.drafter, length) if length > 0 else []

    def _guess(self, drafter: Drafter, length: int) -> list[int]:
        sampler = self.sampler
        guess = drafter.guess(bytes(sampler.text))
        return guess_tokens(guess, sampler.state, sampler.vocabulary, length, forcing=self._forcing)

    def _check_context(self, more: int) -> None:
        """Raise where the text and so many tokens more do not fit into the context."""
        written = len(self.sampler.tokens)
        if self._max_context is not None and written + more > self._max_context:
            # An estimate for the error message: the text so far and a guess of its rest.
            needed = written + len(self._guess(RowDraft(self._context), _MEASURE))
            raise ContextError(self._max_context, max(needed, written + more))
