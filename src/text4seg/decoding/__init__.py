"""Decoding: from logits to the tokens of a mask text, under a grammar, with drafts.

The room knows bytes, grids and a step function; it knows no model class and no tokenizer class.
Read it in the order `vocabulary` → `compiled_grammar` → `options` → `drafters` → `sampler` →
`speculative` → `engine` → `probabilities`.
"""

from __future__ import annotations

from text4seg.decoding.batched import decode_batch
from text4seg.decoding.compiled_grammar import (
    CompiledGrammar,
    compile_grammar,
    compile_mask_grammar,
)
from text4seg.decoding.draft_length import UNBOUNDED, MeasuredPassCost, PassCost
from text4seg.decoding.drafters import DRAFTERS, DraftContext, Drafter, make_drafter
from text4seg.decoding.engine import DecodingTask, decode
from text4seg.decoding.errors import ContextError, DecodingError
from text4seg.decoding.options import RUN_LENGTHS, DecodingOptions
from text4seg.decoding.probabilities import cell_probabilities, no_target_probability
from text4seg.decoding.stats import Decision, DecodingResult, DecodingStats
from text4seg.decoding.vocabulary import Vocabulary

__all__ = [
    "DRAFTERS",
    "RUN_LENGTHS",
    "UNBOUNDED",
    "CompiledGrammar",
    "ContextError",
    "Decision",
    "DecodingError",
    "DecodingOptions",
    "DecodingResult",
    "DecodingStats",
    "DecodingTask",
    "DraftContext",
    "Drafter",
    "MeasuredPassCost",
    "PassCost",
    "Vocabulary",
    "cell_probabilities",
    "compile_grammar",
    "compile_mask_grammar",
    "decode",
    "decode_batch",
    "make_drafter",
    "no_target_probability",
]
