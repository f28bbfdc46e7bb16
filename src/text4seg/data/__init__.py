"""Readers of data: each checks what it reads and says what is wrong, and in which file and line."""

from __future__ import annotations

from text4seg.data.jsonl import read_jsonl
from text4seg.data.reading import Dataset, Reader, Reading, Selection, Source, read
from text4seg.data.regions import Joined, Labelled, Polygons, Region, RunLengths
from text4seg.data.registry import READERS
from text4seg.data.reports import RecordError, Report
from text4seg.data.samples import ReferringTarget, Sample

__all__ = [
    "READERS",
    "Dataset",
    "Joined",
    "Labelled",
    "Polygons",
    "Reader",
    "Reading",
    "RecordError",
    "ReferringTarget",
    "Region",
    "Report",
    "RunLengths",
    "Sample",
    "Selection",
    "Source",
    "read",
    "read_jsonl",
]
