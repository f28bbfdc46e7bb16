"""Decoding under a grammar, in as few forward passes as the draft allows.

The text is the one that plain constrained decoding writes, token for token:

- where the grammar forces tokens they are taken, without a pass of their own;
- elsewhere the likeliest allowed token is taken, or one is sampled;
- tokens that a drafter guessed are fed in the same pass and kept as long as they equal what the two
  rules above choose; the rest is dropped from the model's cache.

So a guess is kept with just the probability that the model gives it, and what is written in its
place otherwise has the model's distribution, too: this is speculative sampling for a drafter that
is certain of its guess (Leviathan et al. 2023, arXiv:2211.17192).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from text4seg.decoding.draft_length import FOR_PROCESSORS
from text4seg.decoding.drafters import DraftContext, make_drafter
from text4seg.decoding.median_counts import MedianCounts
from text4seg.decoding.options import DecodingOptions
from text4seg.decoding.sampler import Sampler, Sampling, background_bias
from text4seg.decoding.speculative import SpeculativeLoop
from text4seg.decoding.stats import DecodingResult, DecodingStats

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from text4seg.decoding.compiled_grammar import CompiledGrammar
    from text4seg.decoding.draft_length import MeasuredPassCost, PassCost
    from text4seg.models.interface import LogitRows, Logits, Step


@dataclass(frozen=True, slots=True, eq=False)
class DecodingTask:
    """One text to decode.

    Attributes:
        first_logits: The logits after the prompt.
        grammar: The language of the text, compiled for the model's vocabulary.
        options: How tokens are chosen and drafted.
        context: What drafters may guess from; by default the grammar's own format and grid.
        bias: Offsets of logits by token id, added wherever several tokens are allowed.
        pass_cost: What a forward pass costs by its number of tokens, which decides how far to
            draft; by default what suits a CPU.
        max_context: How many tokens fit into the model's context after the prompt; None: no limit.
        on_tokens: Called with the new tokens after each pass, in order. It may raise to cancel.
    """

    first_logits: Logits
    grammar: CompiledGrammar
    options: DecodingOptions = field(default_factory=DecodingOptions)
    context: DraftContext | None = None
    bias: Mapping[int, float] | Callable[[int], float] | None = None
    pass_cost: PassCost | MeasuredPassCost = FOR_PROCESSORS
    max_context: int | None = None
    on_tokens: Callable[[tuple[int, ...]], None] | None = None


def decode(step: Step, task: DecodingTask) -> DecodingResult:
    """Decode one text.

    At any call of `on_tokens`, at any error and at the end, the cache holds the prompt and a
    prefix of the tokens written, no draft.

    Args:
        step: The model; its cache holds the prompt.
        task: What to decode, and how.

    Returns:
        The tokens with the choices behind them.

    Raises:
        GrammarError: No token of the vocabulary can continue the text.
        DecodingError: `step` returned the wrong number of rows, too short rows, or no finite logit.
        ContextError: The text does not fit into `max_context`.
    """
    work = decoding(step.rollback, task)
    try:
        fed = next(work)
        while True:
            fed = work.send(step(fed))
    except StopIteration as end:
        decoded: DecodingResult = end.value
        return decoded
    finally:
        work.close()


def decoding(
    rollback: Callable[[int], None], task: DecodingTask
) -> Generator[list[int], LogitRows, DecodingResult]:
    """As `decode`, as a generator: it yields tokens to feed and is sent the logits after them.

    Args:
        rollback: Drops the last n tokens from the cache.
        task: What to decode, and how.

    Yields:
        The tokens of each forward pass.

    Returns:
        The tokens with the choices behind them.
    """
    started = time.perf_counter()
    loop = _build_loop(rollback, task)
    sampler, most = loop.sampler, task.options.max_tokens
    logits: Logits | None = task.first_logits
    # Tokens that `on_tokens` was called with.
    emitted = 0

    def emit() -> None:
        nonlocal emitted
        if task.on_tokens is not None and len(sampler.tokens) > emitted:
            emitted, before = len(sampler.tokens), emitted
            task.on_tokens(tuple(sampler.tokens[before:]))

    try:
        # A pass is only made where the next token needs logits that no earlier pass computed.
        while not (complete := sampler.state.finished) and len(sampler.tokens) < most:
            skips = loop.drafter.skips_forced and sampler.state.forced() is not None
            if logits is not None or skips:
                # Median run lengths may need passes of their own before a token can be chosen.
                if sampler.takes_medians:
                    logits = yield from loop.advance(logits)
                else:
                    logits = loop.accept(logits)
                continue
            loop.settle()
            emit()
            logits = yield from loop.run()
        loop.settle()
        emit()
    finally:
        # Also after an error: the cache then holds the text so far and nothing of a draft.
        loop.drop()
    return _decoded(sampler, loop, time.perf_counter() - started, complete=complete)


def _build_loop(rollback: Callable[[int], None], task: DecodingTask) -> SpeculativeLoop:
    """The sampler and the drafter of a task, put together."""
    grammar, options = task.grammar, task.options
    # Without a context, the grammar still knows its format and grid, so rows can be drafted.
    context = task.context or DraftContext(grammar.syntax, grammar.shape)
    drawn = None if options.temperature is None else Sampling(options.temperature, options.seed)
    sampler = Sampler(
        grammar.vocabulary,
        grammar.start(),
        bias=_total_bias(task),
        sampling=drawn,
        counts=_median_counts(context, options),
    )
    return SpeculativeLoop(
        rollback,
        sampler,
        make_drafter(options.draft, context),
        task.pass_cost,
        max_tokens=options.max_tokens,
        max_context=task.max_context,
        context=context,
    )


def _median_counts(context: DraftContext, options: DecodingOptions) -> MedianCounts | None:
    """The rule for run lengths, where the text has any and the median is asked for."""
    syntax, shape = context.syntax, context.shape
    if options.run_lengths != "median" or syntax is None or shape is None:
        return None
    if not (syntax.has_counts and syntax.covers_image):
        return None
    return MedianCounts(syntax, shape, options.background_bias)


def _total_bias(task: DecodingTask) -> Mapping[int, float] | Callable[[int], float] | None:
    """The task's bias with the user's bias of the background added."""
    bias, offset = task.bias, task.options.background_bias
    if not offset:
        return bias or None
    added = background_bias(task.grammar.vocabulary, offset)
    # A bias may be a function where a table of the whole vocabulary would be wasteful.
    if callable(bias):
        own = bias
        return lambda token: own(token) + added.get(token, 0.0)
    known = bias or {}
    return {token: known.get(token, 0.0) + added.get(token, 0.0) for token in {*known, *added}}


def _decoded(
    sampler: Sampler, loop: SpeculativeLoop, seconds: float, *, complete: bool
) -> DecodingResult:
    # A decision may lie behind the last token where the token limit cut the text.
    chosen = sum(decision.index < len(sampler.tokens) for decision in sampler.decisions)
    stats = DecodingStats(
        passes=loop.count,
        tokens=len(sampler.tokens),
        forced=len(sampler.tokens) - chosen,
        drafted=loop.drafted,
        accepted=loop.accepted,
        fed=loop.fed,
        seconds=seconds,
    )
    return DecodingResult(
        tokens=tuple(sampler.tokens),
        log_probabilities=np.array(sampler.log_probabilities, dtype=np.float32),
        decisions=tuple(sampler.decisions),
        stats=stats,
        complete=complete,
    )
