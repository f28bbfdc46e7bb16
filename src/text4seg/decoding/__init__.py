"""Decoding: grammar × vocabulary × draft → tokens.

The room knows bytes, grids and a step function; it knows no model class and no tokenizer class.
Read it in the order ``vocabulary`` → ``grammar`` → ``drafts`` → ``engine`` → ``probabilities``.
"""

from __future__ import annotations

from text4seg.decoding.drafts import DRAFTERS, Drafter, make_drafter
from text4seg.decoding.engine import Step, decode
from text4seg.decoding.errors import DecodingError
from text4seg.decoding.grammar import CompiledGrammar, compile_grammar
from text4seg.decoding.pace import UNBOUNDED, Pace
from text4seg.decoding.probabilities import cell_probabilities
from text4seg.decoding.stats import Decision, Decoded, DecodingStats
from text4seg.decoding.vocabulary import Vocabulary

__all__ = [
    "DRAFTERS",
    "UNBOUNDED",
    "CompiledGrammar",
    "Decision",
    "Decoded",
    "DecodingError",
    "DecodingStats",
    "Drafter",
    "Pace",
    "Step",
    "Vocabulary",
    "cell_probabilities",
    "compile_grammar",
    "decode",
    "make_drafter",
]
