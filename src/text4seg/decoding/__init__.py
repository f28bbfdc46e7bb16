"""Decoding: grammar × vocabulary × draft → tokens.

The room knows bytes, grids and a step function; it knows no model class and no tokenizer class.
Read it in the order ``vocabulary`` → ``grammar`` → ``drafts`` → ``sampler`` → ``passes`` →
``engine`` → ``probabilities``.
"""

from __future__ import annotations

from text4seg.decoding.batch import BatchStep, Job, decode_batch
from text4seg.decoding.counts import MedianCounts
from text4seg.decoding.draft_length import UNBOUNDED, MeasuredPassCost, PassCost
from text4seg.decoding.drafts import DRAFTERS, DraftContext, Drafter, check_draft, make_drafter
from text4seg.decoding.engine import How, Step, decode
from text4seg.decoding.errors import ContextError, DecodingError
from text4seg.decoding.grammar import CompiledGrammar, compile_grammar, compile_mask_grammar
from text4seg.decoding.probabilities import cell_probabilities, no_target_probability
from text4seg.decoding.sampler import Sampling, background_bias
from text4seg.decoding.stats import Decision, Decoded, DecodingStats
from text4seg.decoding.vocabulary import Vocabulary

__all__ = [
    "DRAFTERS",
    "UNBOUNDED",
    "BatchStep",
    "CompiledGrammar",
    "ContextError",
    "Decision",
    "Decoded",
    "DecodingError",
    "DecodingStats",
    "DraftContext",
    "Drafter",
    "How",
    "Job",
    "MeasuredPassCost",
    "MedianCounts",
    "PassCost",
    "Sampling",
    "Step",
    "Vocabulary",
    "background_bias",
    "cell_probabilities",
    "check_draft",
    "compile_grammar",
    "compile_mask_grammar",
    "decode",
    "decode_batch",
    "make_drafter",
    "no_target_probability",
]
