"""The objects of a COCO annotation file, for the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.core.coverage import polygons_to_rle
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle, rle_area, rle_to_mask
from text4seg.core.types import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALLEST_SHARE = 0.005
SEED = 0


Outline = list[list[float]] | dict[str, Any]
"""Polygons or run lengths, as COCO annotates them."""


def read_outlines(file: Path) -> list[tuple[str, Size, Outline]]:
    """Class name, size of the image and outline of each object.

    Shuffled, always in the same way; no crowds.
    """
    try:
        document = json.loads(file.read_text())
        names = {category["id"]: category["name"] for category in document["categories"]}
        sizes = {image["id"]: Size(image["height"], image["width"]) for image in document["images"]}
        records = [record for record in document["annotations"] if not record.get("iscrowd")]
        np.random.default_rng(SEED).shuffle(records)
        return [
            (names[record["category_id"]], sizes[record["image_id"]], record["segmentation"])
            for record in records
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{file} is not a COCO annotation file ({reason})") from None


def read_objects(
    file: Path, smallest: float = SMALLEST_SHARE
) -> Iterator[tuple[str, Size, Outline]]:
    """Of these, the objects over a share of their image."""
    for name, size, outline in read_outlines(file):
        if rle_area(outline_to_rle(outline, size)) > smallest * size.pixels:
            yield name, size, outline


def outline_to_rle(outline: Outline, size: Size) -> dict[str, Any]:
    """An annotation's outline as compressed run lengths."""
    if isinstance(outline, list):
        return polygons_to_rle(outline, size)
    compressed = isinstance(outline.get("counts"), str | bytes)
    return outline if compressed else mask_to_rle(rle_to_mask(outline))
