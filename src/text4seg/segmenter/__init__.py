"""The main path: an image and an expression in, a mask out."""

from __future__ import annotations

from text4seg.segmenter.generation import MaskGenerator, Validity, read_text
from text4seg.segmenter.segmentation import Segmentation, SegmentationStats
from text4seg.segmenter.segmenter import Segmenter, check_expression
from text4seg.segmenter.streaming import PartialMask
from text4seg.segmenter.vqa import Answer, check_question

__all__ = [
    "Answer",
    "MaskGenerator",
    "PartialMask",
    "Segmentation",
    "SegmentationStats",
    "Segmenter",
    "Validity",
    "check_expression",
    "check_question",
    "read_text",
]
