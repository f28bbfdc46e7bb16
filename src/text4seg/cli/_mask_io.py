"""Reading mask text and JSON for the verbs `decode` and `convert`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from text4seg.codec import Format, Repair
from text4seg.codec.answer import SEG_OPEN, body_of, find_body
from text4seg.core.errors import InputError, MaskSyntaxError
from text4seg.core.geometry import cells_to_mask, masks_to_grid
from text4seg.core.instances import grid_to_record, record_to_grid
from text4seg.core.regions import Regions, masks_to_regions
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, Size
from text4seg.core.upsampling import centers

Value = DescriptorGrid | Regions
Things = list[tuple[str, Bool[np.ndarray, "h w"]]]

MAX_BYTES = 64 << 20


def read_text(file: Path) -> str:
    """The text of a file, or of stdin for `-`.

    Raises:
        InputError: It cannot be read, is no UTF-8 or is too long.
    """
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{file} cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{file} has more than {MAX_BYTES >> 20} MB, too much for mask text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not text: byte {error.start} is not UTF-8") from error


def read_value(
    file: Path, form: Format[Any] | None, shape: GridShape, *, salvage: bool
) -> tuple[Value, tuple[Repair, ...]]:
    """Read a mask text, alone or in an answer, or JSON where there is no format.

    Raises:
        InputError: It cannot be read, or not strictly and `salvage` is not set.
    """
    text = read_text(file)
    if form is None:
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file} is not JSON: {error}") from None
        boxes = isinstance(record, dict) and "regions" in record
        return (Regions.from_record(record["regions"]) if boxes else record_to_grid(record)), ()
    if salvage:
        saved = form.salvage(find_body(text), shape)
        return saved.value, saved.repairs
    try:
        return form.decode(body_of(text) if SEG_OPEN in text else text, shape), ()
    except MaskSyntaxError as error:
        raise InputError(f"{file}, {error} (--salvage reads damaged text)") from error


def value_to_record(value: Value) -> dict[str, Any]:
    """A value for JSON: `read_value` takes it back."""
    if isinstance(value, Regions):
        return {"labels": list(value.labels), "regions": value.to_record()}
    return grid_to_record(value)


def value_to_mask(value: Value, label: str, size: Size) -> Bool[np.ndarray, "h w"]:
    """The pixels that carry a label, as blocks."""
    if isinstance(value, Regions):
        return value.mask(label, size)
    return cells_to_mask(value.select(label), size)


def value_to_label_map(value: Value, size: Size) -> Int32[np.ndarray, "h w"]:
    """For each pixel the number of its label."""
    if isinstance(value, Regions):
        return value.label_map(size)
    rows, cols = value.cells.shape
    at = np.ix_(centers(size.height, rows), centers(size.width, cols))
    return np.asarray(value.cells[at], dtype=np.int32)


def value_to_things(value: Value, size: Size) -> Things:
    """Each label with its pixels; of regions each one by itself, as they may share a label."""
    if isinstance(value, Regions):
        return [
            (label, Regions((region,)).mask(label, size))
            for region in value.regions
            for label in region.grid.labels
            if label != OTHERS
        ]
    return [(label, value_to_mask(value, label, size)) for label in value.labels if label != OTHERS]


def to_form(value: Value, form: Format[Any], shape: GridShape, size: Size | None) -> str:
    """The text of a value; between a grid and boxes it goes by pixels of an image of that size.

    Raises:
        InputError: It would, and there is no size.
    """
    if not form.syntax.covers_image:
        if isinstance(value, DescriptorGrid):
            value = masks_to_regions(_by_pixels(value, size), shape)
        return form.encode(value)
    if isinstance(value, Regions):
        pixels = _needed(size)
        masks = {label: value.mask(label, pixels) for label in value.labels if label != OTHERS}
        value = masks_to_grid(masks, shape)
    return form.encode(value)


def _by_pixels(value: DescriptorGrid, size: Size | None) -> Things:
    return value_to_things(value, _needed(size))


def _needed(size: Size | None) -> Size:
    if size is None:
        raise InputError("between boxes and a grid the pixels count: give the image's --size")
    return size


__all__ = [
    "MAX_BYTES",
    "Things",
    "Value",
    "read_text",
    "read_value",
    "to_form",
    "value_to_label_map",
    "value_to_mask",
    "value_to_record",
    "value_to_things",
]
