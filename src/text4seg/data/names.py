"""The names of classes as people would say them."""

from __future__ import annotations

import re

_MARKS = re.compile(r"-(?:other-merged|merged|other|stuff)$")


def plain_name(name: str) -> str:
    """A class name as words: no underscores, no marks of the annotators' trees.

    `traffic_light` becomes `traffic light`, `wall-other-merged` of COCO panoptic `wall`,
    `floor-wood` of COCO-Stuff `floor wood`, `bow_(weapon)` of LVIS `bow (weapon)`.
    """
    words = _MARKS.sub("", name.strip().replace("_", " "))
    words = re.sub(r"(?<=\w)-(?=\w{3})", " ", words) if name != words or "-" in words else words
    return " ".join(words.split()) or name
