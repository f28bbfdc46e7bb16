"""Evaluation: answers against true masks, and what they cost; predictions from anywhere too."""

from __future__ import annotations

from text4seg.evaluation.judge import Answer, Truth, judge
from text4seg.evaluation.rows import Row
from text4seg.evaluation.run import evaluate, questions_of
from text4seg.evaluation.summary import Summary, summarise

__all__ = ["Answer", "Row", "Summary", "Truth", "evaluate", "judge", "questions_of", "summarise"]
