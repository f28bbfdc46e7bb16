"""Every reader by the name of its layout."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from text4seg.data.readers.coco import COCO
from text4seg.data.readers.cvat import CVAT
from text4seg.data.readers.grefcoco import GREFCOCO
from text4seg.data.readers.hugging_face import HUGGING_FACE, REFCOCO_M
from text4seg.data.readers.jsonl import JSONL
from text4seg.data.readers.label_maps import LABEL_MAPS
from text4seg.data.readers.label_studio import LABEL_STUDIO
from text4seg.data.readers.lvis import LVIS, PACO
from text4seg.data.readers.mask_pairs import MASK_PAIRS
from text4seg.data.readers.panoptic import PANOPTIC
from text4seg.data.readers.pascal_part import PASCAL_PART
from text4seg.data.readers.reasonseg import REASONSEG
from text4seg.data.readers.refcoco import REFCLEF, REFCOCO, REFCOCO_PLUS, REFCOCOG
from text4seg.data.readers.scenes import ADE150, ADE847, COCO_STUFF, CONTEXT59, VOC
from text4seg.data.readers.yolo import YOLO
from text4seg.data.reading import Reader

_OWN = (JSONL, MASK_PAIRS, LABEL_MAPS, COCO, LABEL_STUDIO, CVAT, YOLO, HUGGING_FACE)
_PUBLISHED = (
    REFCOCO, REFCOCO_PLUS, REFCOCOG, REFCLEF, GREFCOCO, REFCOCO_M, REASONSEG, PANOPTIC,
    COCO_STUFF, LVIS, PACO, PASCAL_PART, ADE150, ADE847, VOC, CONTEXT59,
)  # fmt: skip

READERS: Mapping[str, Reader] = MappingProxyType(
    {reader.name: reader for reader in (*_OWN, *_PUBLISHED)}
)
"""The readers of users' own layouts, then those of published data sets."""
