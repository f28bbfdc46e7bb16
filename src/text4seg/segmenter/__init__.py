"""The main path: a photo and an expression in, a mask out."""

from __future__ import annotations

from text4seg.segmenter.segmentation import Segmentation, SegmentationStats, Validity
from text4seg.segmenter.segmenter import Segmenter, WritingSession, check_expression
from text4seg.segmenter.streaming import Streamed

__all__ = [
    "Segmentation",
    "SegmentationStats",
    "Segmenter",
    "Streamed",
    "Validity",
    "WritingSession",
    "check_expression",
]
