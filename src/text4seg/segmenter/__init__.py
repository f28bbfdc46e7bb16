"""The main path: an image and an expression in, a mask out."""

from __future__ import annotations

from text4seg.segmenter.answering import Answer, ReplyingSession, check_question
from text4seg.segmenter.generation import Choices, Runs, WritingSession
from text4seg.segmenter.segmentation import Segmentation, SegmentationStats, Validity
from text4seg.segmenter.segmenter import Segmenter, check_expression
from text4seg.segmenter.streaming import Streamed

__all__ = [
    "Answer",
    "Choices",
    "ReplyingSession",
    "Runs",
    "Segmentation",
    "SegmentationStats",
    "Segmenter",
    "Streamed",
    "Validity",
    "WritingSession",
    "check_expression",
    "check_question",
]
