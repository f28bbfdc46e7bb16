"""Readers of data: each checks what it reads and says what is wrong, and in which file and line."""

from __future__ import annotations

from text4seg.data.interface import ReferringTarget, Sample
from text4seg.data.mask_sources import (
    LabelMapMask,
    MaskSource,
    MaskUnion,
    PolygonMask,
    RunLengthMask,
)
from text4seg.data.readers.jsonl import read_jsonl
from text4seg.data.reading import CheckedDataset, Dataset, Reader, Selection, Source, read_dataset
from text4seg.data.registry import READERS
from text4seg.data.reports import ReadReport, RecordError

__all__ = [
    "READERS",
    "CheckedDataset",
    "Dataset",
    "LabelMapMask",
    "MaskSource",
    "MaskUnion",
    "PolygonMask",
    "ReadReport",
    "Reader",
    "RecordError",
    "ReferringTarget",
    "RunLengthMask",
    "Sample",
    "Selection",
    "Source",
    "read_dataset",
    "read_jsonl",
]
