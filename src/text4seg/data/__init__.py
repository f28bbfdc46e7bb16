"""Data sets of images with true masks: reading them, and building training samples from them.

Every reader checks what it reads and reports what is wrong, with the file and the line.
"""

from __future__ import annotations

from text4seg.data.interface import (
    Dataset,
    LayoutError,
    Reader,
    ReferringTarget,
    Sample,
    Source,
)
from text4seg.data.mask_sources import (
    LabelMapMask,
    MaskSource,
    MaskUnion,
    PolygonMask,
    RunLengthMask,
)
from text4seg.data.readers import READERS
from text4seg.data.readers.jsonl import read_jsonl
from text4seg.data.reading import CheckedDataset, Selection, read_dataset
from text4seg.data.reports import ReadReport, RecordError

__all__ = [
    "READERS",
    "CheckedDataset",
    "Dataset",
    "LabelMapMask",
    "LayoutError",
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
