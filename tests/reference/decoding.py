"""Short ways to decode in tests: one task from keyword arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from text4seg.codec import get_format
from text4seg.core.types import GridShape
from text4seg.decoding import (
    CompiledGrammar,
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    Vocabulary,
    compile_mask_grammar,
    decode,
)

_OF_TASK = ("context", "bias", "pass_cost", "max_context", "on_tokens")


def task_of(step: Any, grammar: CompiledGrammar, **settings: Any) -> DecodingTask:
    """The task of a step with `first_logits`; settings of the task and of its options mixed."""
    own = {name: settings.pop(name) for name in _OF_TASK if name in settings}
    return DecodingTask(step.first_logits, grammar, DecodingOptions(**settings), **own)


def decode_one(step: Any, grammar: CompiledGrammar, **settings: Any) -> DecodingResult:
    """Decode with a step that has `first_logits`."""
    return decode(step, task_of(step, grammar, **settings))


def mask_grammar(
    name: str, shape: GridShape, labels: Sequence[str] | None, vocabulary: Vocabulary
) -> CompiledGrammar:
    """The grammar of a format by its name."""
    return compile_mask_grammar(get_format(name), shape, labels, vocabulary)
