"""The annotations of a COCO file as mask texts, as `text4seg encode` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from text4seg.core.coverage import polygons_to_rle
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import rle_to_runs
from text4seg.core.types import Size, clean_label
from text4seg.data.mask_sources import RunLengthMask
from text4seg.data.targets import TargetEncoder

_AT_ONCE = 256

_Annotation = tuple[dict[str, Any], str, RunLengthMask]
"""The ids of an annotation, its label, and its mask."""


def encode_coco(
    data: bytes, name: str, encoder: TargetEncoder, *, label: str | None = None
) -> Iterator[dict[str, Any]]:
    """Write each annotation of a COCO file as a mask text.

    Args:
        data: The file.
        name: The file's name, for messages.
        encoder: How masks become text.
        label: The label of all masks; by default the cleaned name of each one's category.

    Yields:
        `text`, `format`, `grid`, `label`, `id`, `image_id` and `size` (height, width).

    Raises:
        InputError: It is no COCO file, or an annotation cannot be read; the message says which.
    """
    batch: list[_Annotation] = []
    for annotation in _annotations(data, name, label):
        batch.append(annotation)
        if len(batch) == _AT_ONCE:
            yield from _encode(batch, encoder)
            batch = []
    yield from _encode(batch, encoder)


def _encode(batch: Sequence[_Annotation], encoder: TargetEncoder) -> Iterator[dict[str, Any]]:
    texts = encoder.encode_each([(label, mask) for _, label, mask in batch])
    for (ids, label, mask), text in zip(batch, texts, strict=True):
        size = [mask.size.height, mask.size.width]
        written = {"text": text, "format": encoder.format, "grid": str(encoder.grid)}
        yield {**written, "label": label, **ids, "size": size}


def _annotations(data: bytes, name: str, label: str | None) -> Iterator[_Annotation]:
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
            mask = RunLengthMask.from_coco(rle)
        except (InputError, TypeError) as error:
            raise InputError(f"{where}: {error}") from None
        yield {"id": one.get("id"), "image_id": one["image_id"]}, word, mask
