"""Readers of data: each checks what it reads and says what is wrong, and in which file and line."""

from __future__ import annotations

from text4seg.data.jsonl import read_jsonl
from text4seg.data.samples import Asked, Sample

__all__ = ["Asked", "Sample", "read_jsonl"]
