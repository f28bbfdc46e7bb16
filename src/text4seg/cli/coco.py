"""The annotations of a COCO file as mask texts, for `text4seg encode`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from text4seg.codec import AnyFormat, BoxWise
from text4seg.core.coverage import Rule, polygons_to_rle, rles_to_cells
from text4seg.core.errors import InputError
from text4seg.core.regions import masks_to_regions
from text4seg.core.run_lengths import rle_to_mask, rle_to_runs
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, Size, clean_label

_AT_ONCE = 256

Mask = tuple[dict[str, Any], str, dict[str, Any]]
"""What is told of an annotation, its label, and its run lengths."""


def encode_coco(
    data: bytes, name: str, shape: GridShape, form: AnyFormat, *, label: str | None, rule: Rule
) -> Iterator[dict[str, Any]]:
    """A record for each annotation: its text, label, ids and the size of its image.

    Without `label` an annotation takes the name of its category, cleaned.

    Raises:
        InputError: It is no COCO file, or an annotation cannot be read; it says which.
    """
    batch: list[Mask] = []
    for mask in _masks(data, name, label):
        batch.append(mask)
        if len(batch) == _AT_ONCE:
            yield from _encode(batch, shape, form, rule)
            batch = []
    yield from _encode(batch, shape, form, rule)


def _encode(
    batch: list[Mask], shape: GridShape, form: AnyFormat, rule: Rule
) -> Iterator[dict[str, Any]]:
    for (told, label, rle), text in zip(batch, _texts(batch, shape, form, rule), strict=True):
        yield (
            {"text": text, "format": form.name, "grid": str(shape), "label": label}
            | told
            | {"size": [int(side) for side in rle["size"]]}
        )


def _texts(batch: list[Mask], shape: GridShape, form: AnyFormat, rule: Rule) -> Iterator[str]:
    if isinstance(form, BoxWise):
        for _, label, rle in batch:
            yield form.encode(masks_to_regions([(label, rle_to_mask(rle))], shape, rule))
        return
    cells = rles_to_cells([rle for _, _, rle in batch], shape, rule)
    for (_, label, _), one in zip(batch, cells, strict=True):
        yield form.encode(DescriptorGrid((OTHERS, label), one.astype(np.int32)))


def _masks(data: bytes, name: str, label: str | None) -> Iterator[Mask]:
    try:
        document = json.loads(data)
        annotations = document["annotations"]
        sizes = {one["id"]: Size(one["height"], one["width"]) for one in document["images"]}
        classes = {one["id"]: str(one["name"]) for one in document.get("categories", ())}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{name} is not a COCO annotation file ({reason})") from None
    if not isinstance(annotations, list):
        raise InputError(f"{name} is not a COCO annotation file: annotations is no list")
    for at, one in enumerate(annotations):
        where = f"{name}, annotation {at}"
        try:
            size, outline = sizes[one["image_id"]], one["segmentation"]
            word = label if label is not None else clean_label(classes[one["category_id"]])[0]
        except (KeyError, TypeError) as error:
            raise InputError(f"{where}: {type(error).__name__}: {error}") from None
        try:
            rle = outline if isinstance(outline, dict) else polygons_to_rle(outline, size)
            rle_to_runs(rle)
        except (InputError, TypeError) as error:
            raise InputError(f"{where}: {error}") from None
        yield {"id": one.get("id"), "image_id": one["image_id"]}, word, rle
