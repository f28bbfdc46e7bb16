"""Decoding under a grammar, in as few forward passes as the draft allows.

The text written is the one that plain constrained decoding writes, token for token:

- where the grammar forces tokens they are taken, without a pass of their own;
- elsewhere the best allowed token is taken, or the one that is drawn (``Sampling``);
- tokens that a drafter guessed to follow are fed in the same pass and kept as long as they equal
  what the two rules above choose; the rest is cut from the model's cache.

So a guess is kept with just the probability that the model gives it, and what stands in its place
otherwise has the model's distribution, too: this is speculative sampling for a drafter that is sure
of its guess (Leviathan et al. 2023, arXiv 2211.17192).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from text4seg.core.errors import GrammarError, InputError
from text4seg.decoding.draft_length import FOR_PROCESSORS
from text4seg.decoding.drafts import make_drafter
from text4seg.decoding.sampler import Row, Sampler, Sampling
from text4seg.decoding.speculative import Rows, SpeculativeLoop
from text4seg.decoding.stats import Decoded, DecodingStats

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from text4seg.decoding.counts import MedianCounts
    from text4seg.decoding.draft_length import MeasuredPassCost, PassCost
    from text4seg.decoding.drafts import Drafter
    from text4seg.decoding.grammar import CompiledGrammar
    from text4seg.decoding.vocabulary import Vocabulary

MAX_TOKENS = 1 << 17
"""Default token limit: more than the flat text of the largest grid (256×256) needs."""


class Step(Protocol):
    """A language model with a cache that already holds the prompt."""

    def __call__(self, tokens: Sequence[int], /) -> Rows:
        """Feed ``tokens`` after the cache; the logits that follow each of them."""
        ...

    def cut(self, n: int, /) -> None:
        """Drop the last ``n`` fed tokens from the cache."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class How:
    """How to go about a decoding; all of it has a default.

    Attributes:
        draft: a drafter or its name (``DRAFTERS``). It changes the number of passes, never the
            tokens.
        bias: token id → offset added to its logit wherever several tokens are allowed.
        sampling: draw instead of taking the best.
        counts: take run lengths by their distribution (``MedianCounts``).
        pass_cost: how far to draft; by default what suits a CPU.
        max_tokens: where to stop an endless text; the result then says ``complete=False``.
        room: how many tokens the model's context takes after the prompt, if there is a limit.
        on_tokens: called with the new tokens after each pass, in order. It may raise to cancel.
    """

    draft: str | Drafter = "row"
    bias: Mapping[int, float] | Callable[[int], float] | None = None
    sampling: Sampling | None = None
    counts: MedianCounts | None = None
    pass_cost: PassCost | MeasuredPassCost = FOR_PROCESSORS
    max_tokens: int = MAX_TOKENS
    room: int | None = None
    on_tokens: Callable[[tuple[int, ...]], None] | None = None

    def __post_init__(self) -> None:
        if self.sampling is not None and self.counts is not None:
            raise InputError("run lengths are either drawn or taken at the median, not both")


def decode(  # noqa: D417, PLR0913 - a model, a language and how to go about it
    step: Step,
    first_logits: Row,
    vocabulary: Vocabulary,
    grammar: CompiledGrammar,
    *,
    draft: str | Drafter = "row",
    bias: Mapping[int, float] | Callable[[int], float] | None = None,
    sampling: Sampling | None = None,
    counts: MedianCounts | None = None,
    pass_cost: PassCost | MeasuredPassCost | None = None,
    max_tokens: int = MAX_TOKENS,
    room: int | None = None,
    on_tokens: Callable[[tuple[int, ...]], None] | None = None,
) -> Decoded:
    """Write a text of ``grammar``.

    Args:
        step: the model; its cache holds the prompt.
        first_logits: the logits after the prompt.
        vocabulary: the one that ``grammar`` was compiled for.
        grammar: the language of the text.
        draft: and all that follows: see ``How``.

    At any call of ``on_tokens``, at any error and at the end, the cache holds the prompt and a
    prefix of the tokens written, no draft.

    Raises:
        GrammarError: the grammar was compiled for another vocabulary, or no token can continue.
        DecodingError: ``step`` gave the wrong number of rows, too short rows, or no finite logit.
        ContextError: the text does not fit into ``room``.
    """
    how = How(
        draft, bias, sampling, counts, pass_cost or FOR_PROCESSORS, max_tokens, room, on_tokens
    )
    work = writing(step.cut, first_logits, vocabulary, grammar, how)
    try:
        fed = next(work)
        while True:
            fed = work.send(step(fed))
    except StopIteration as end:
        decoded: Decoded = end.value
        return decoded
    finally:
        work.close()


def writing(
    cut: Callable[[int], None],
    first_logits: Row,
    vocabulary: Vocabulary,
    grammar: CompiledGrammar,
    how: How,
) -> Generator[list[int], Rows, Decoded]:
    """As ``decode``, for whoever feeds the model: tokens to feed come out, their rows go in."""
    if grammar.vocabulary is not vocabulary:
        raise GrammarError("the grammar was compiled for another vocabulary")
    started = time.perf_counter()
    drafter = make_drafter(how.draft) if isinstance(how.draft, str) else how.draft
    sampler = Sampler(
        vocabulary, grammar.start(), bias=how.bias, sampling=how.sampling, counts=how.counts
    )
    passes = SpeculativeLoop(
        cut, sampler, drafter, how.pass_cost, max_tokens=how.max_tokens, room=how.room
    )
    row: Row | None = first_logits
    counting = how.counts is not None
    told = 0

    def tell() -> None:
        nonlocal told
        if how.on_tokens is not None and len(sampler.tokens) > told:
            told, before = len(sampler.tokens), told
            how.on_tokens(tuple(sampler.tokens[before:]))

    try:
        while not (complete := sampler.state.finished) and len(sampler.tokens) < how.max_tokens:
            skips = drafter.skips_forced and sampler.state.forced() is not None
            if row is not None or skips:
                row = (yield from passes.advance(row)) if counting else passes.accept(row)
                continue
            passes.settle()
            tell()
            row = yield from passes.run()
        passes.settle()
        tell()
    finally:
        passes.drop()
    return _decoded(sampler, passes, complete, time.perf_counter() - started)


def _decoded(sampler: Sampler, passes: SpeculativeLoop, complete: bool, seconds: float) -> Decoded:  # noqa: FBT001
    chosen = sum(decision.index < len(sampler.tokens) for decision in sampler.decisions)
    stats = DecodingStats(
        passes=passes.count,
        tokens=len(sampler.tokens),
        forced=len(sampler.tokens) - chosen,
        drafted=passes.drafted,
        accepted=passes.accepted,
        fed=passes.fed,
        seconds=seconds,
    )
    return Decoded(
        tokens=tuple(sampler.tokens),
        log_probabilities=np.array(sampler.log_probabilities, dtype=np.float32),
        decisions=tuple(sampler.decisions),
        stats=stats,
        complete=complete,
    )
