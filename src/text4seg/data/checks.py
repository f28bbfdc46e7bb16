"""What is checked of every image and every mask, whatever its reader."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.interface import Sample
from text4seg.data.mask_sources import (
    LabelMapMask,
    MaskSource,
    MaskUnion,
    PolygonMask,
    RunLengthMask,
)
from text4seg.data.reports import RecordError


def check_image(sample: Sample) -> Sample:
    """The sample with its image's true size; raises `RecordError` where they do not agree."""
    from text4seg.images import check_image

    if sample.content is None and not sample.image.exists():
        raise RecordError("missing image", f"there is no image {sample.image}")
    try:
        size = check_image(sample.image, content=sample.content)
    except InputError as error:
        raise RecordError("broken image", str(error)) from error
    if sample.size is not None and size != sample.size:
        raise RecordError(
            "mask of another size",
            f"{sample.image} is {size}, and its annotations say {sample.size}",
        )
    return sample if sample.size is not None else replace(sample, size=size)


def check_region(region: MaskSource, size: Size | None, *, count: bool) -> int | None:
    """Check a mask against the image's size; with `count`, its number of pixels.

    Polygons are looked at without drawing them, so their pixels are known only when counted.

    Raises:
        RecordError: The mask cannot be used.
    """
    if isinstance(region, MaskUnion):
        for part in region.regions:
            check_region(part, size, count=False)
    elif size is not None and region.size != size:
        raise RecordError(
            "mask of another size", f"the mask is {region.size} and the image is {size}"
        )
    elif isinstance(region, PolygonMask):
        _check_polygons(region)
    try:
        if isinstance(region, RunLengthMask) or count:
            area = region.area()
            if not area:
                raise RecordError("mask without a pixel", "the mask has no pixel")
            return area
    except RecordError:
        raise
    except InputError as error:
        kind = "bad run lengths" if isinstance(region, RunLengthMask) else "bad mask"
        kind = "bad mask picture" if isinstance(region, LabelMapMask) else kind
        raise RecordError(kind, str(error)) from error
    return None


def _check_polygons(region: PolygonMask) -> None:
    if not region.polygons:
        raise RecordError("bad polygon", "there is no polygon")
    inside = False
    for at, polygon in enumerate(region.polygons):
        if len(polygon) < 6 or len(polygon) % 2:
            raise RecordError(
                "bad polygon",
                f"polygon {at} is not a list x, y, x, y, … of three points or more: "
                f"{len(polygon)} numbers",
            )
        if not all(map(math.isfinite, polygon)):
            raise RecordError("bad polygon", f"polygon {at} has a number that is not finite")
        xs, ys = polygon[0::2], polygon[1::2]
        inside = inside or (
            max(xs) > 0
            and max(ys) > 0
            and min(xs) < region.size.width
            and min(ys) < region.size.height
        )
    if not inside:
        raise RecordError(
            "polygon outside the image", f"no polygon meets the image of {region.size}"
        )


def inside_folder(folder: Path, name: str) -> Path:
    """The path of a name below a folder; raises `RecordError` for one that climbs out of it."""
    parts = Path(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not name or "\0" in name:
        raise RecordError("path outside the folder", f"{name!r} does not stay below {folder}")
    return folder / parts
