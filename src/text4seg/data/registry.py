"""Every reader by the name of its layout."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from text4seg.data.jsonl import JSONL
from text4seg.data.readers.coco import COCO
from text4seg.data.reading import Reader

_ALL: tuple[Reader, ...] = (JSONL, COCO)

READERS: Mapping[str, Reader] = MappingProxyType({reader.name: reader for reader in _ALL})
