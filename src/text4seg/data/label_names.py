"""Class names of data sets as words."""

from __future__ import annotations

import re

_MARKS = re.compile(r"-(?:other-merged|merged|other|stuff)$")
_MADE_OF = re.compile(r"(ceiling|floor|wall)-(\w+)")


def plain_name(name: str) -> str:
    """Turn a class name into words, without underscores and the marks of annotation schemes.

    `traffic_light` becomes `traffic light`, `wall-other-merged` of COCO panoptic `wall`,
    `floor-wood` of COCO-Stuff `wood floor`, `bow_(weapon)` of LVIS `bow (weapon)`.
    """
    words = _MARKS.sub("", " ".join(name.replace("_", " ").split()))
    words = _MADE_OF.sub(r"\2 \1", words).replace("window-blind", "window blind")
    return words or name


def synonyms_of(name: str) -> tuple[str, tuple[str, ...]]:
    """Split names with commas into the first name and the others."""
    first, *others = [part for part in map(plain_name, name.split(",")) if part] or [name]
    return first, tuple(others)
