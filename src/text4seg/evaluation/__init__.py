"""Evaluation: a segmenter's answers against true masks, and what they cost."""

from __future__ import annotations

from text4seg.evaluation.report import Outcome, Summary, summarise
from text4seg.evaluation.run import evaluate

__all__ = ["Outcome", "Summary", "evaluate", "summarise"]
