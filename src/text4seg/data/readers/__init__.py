"""Readers of data sets, by the name of their layout; a new one is a module and a row here."""

from __future__ import annotations

from text4seg.core.registry import Registry
from text4seg.data.interface import Reader

_MODULES = "text4seg.data.readers"

READERS: Registry[Reader] = Registry(
    "data layout",
    "text4seg.readers",
    {
        # Users' own layouts.
        "jsonl": f"{_MODULES}.jsonl:JSONL",
        "mask-pairs": f"{_MODULES}.mask_pairs:MASK_PAIRS",
        "label-maps": f"{_MODULES}.label_maps:LABEL_MAPS",
        "coco": f"{_MODULES}.coco:COCO",
        "label-studio": f"{_MODULES}.label_studio:LABEL_STUDIO",
        "cvat": f"{_MODULES}.cvat:CVAT",
        "yolo-seg": f"{_MODULES}.yolo:YOLO",
        "hugging-face": f"{_MODULES}.hugging_face:HUGGING_FACE",
        # Published data sets.
        "refcoco": f"{_MODULES}.refcoco:REFCOCO",
        "refcoco+": f"{_MODULES}.refcoco:REFCOCO_PLUS",
        "refcocog": f"{_MODULES}.refcoco:REFCOCOG",
        "refclef": f"{_MODULES}.refcoco:REFCLEF",
        "grefcoco": f"{_MODULES}.grefcoco:GREFCOCO",
        "refcoco-m": f"{_MODULES}.refcoco_m:REFCOCO_M",
        "reasonseg": f"{_MODULES}.reasonseg:REASONSEG",
        "coco-panoptic": f"{_MODULES}.panoptic:PANOPTIC",
        "coco-stuff": f"{_MODULES}.scenes:COCO_STUFF",
        "lvis": f"{_MODULES}.lvis:LVIS",
        "paco-lvis": f"{_MODULES}.lvis:PACO",
        "pascal-part": f"{_MODULES}.pascal_part:PASCAL_PART",
        "ade20k-150": f"{_MODULES}.scenes:ADE150",
        "ade20k-847": f"{_MODULES}.scenes:ADE847",
        "voc": f"{_MODULES}.scenes:VOC",
        "pascal-context-59": f"{_MODULES}.scenes:CONTEXT59",
    },
)
"""The readers of data sets; a plug-in's `Reader` has an entry point in `text4seg.readers`."""
