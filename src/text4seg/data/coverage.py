"""How much of each cell regions cover, without drawing their pixels where that can be helped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from text4seg.core.coverage import polygons_to_rle, rles_to_coverage
from text4seg.core.errors import MissingExtraError
from text4seg.core.geometry import mask_to_coverage
from text4seg.core.types import GridShape
from text4seg.data.mask_sources import LabelMapMask, MaskSource, MaskUnion, PolygonMask


def region_to_coverage(region: MaskSource, shape: GridShape) -> Float32[np.ndarray, "rows cols"]:
    """The exact share of each cell, 0 to 1, that a region covers; raises `InputError`."""
    return regions_to_coverage([region], shape)[0]


def regions_to_coverage(
    regions: Sequence[MaskSource], shape: GridShape
) -> list[Float32[np.ndarray, "rows cols"]]:
    """The same for several regions, which takes less time than one after the other.

    Polygons go through pycocotools' run lengths, run lengths are summed as they stand; only
    pictures of labels, and regions joined with them, are looked at pixel by pixel.
    """
    rles = [region_to_rle(region) for region in regions]
    summed = iter(rles_to_coverage([rle for rle in rles if rle is not None], shape))
    return [
        mask_to_coverage(region.to_mask(), shape) if rle is None else next(summed)
        for region, rle in zip(regions, rles, strict=True)
    ]


def region_to_rle(region: MaskSource) -> Mapping[str, Any] | None:
    """COCO run lengths of a region if that takes no pixels, else None; raises `InputError`."""
    if isinstance(region, LabelMapMask):
        return None
    if isinstance(region, PolygonMask):
        return polygons_to_rle(region.polygons, region.size)
    if not isinstance(region, MaskUnion):
        return region.to_rle()
    parts = [region_to_rle(part) for part in region.regions]
    return None if any(part is None for part in parts) else _merge(region, parts)


def _merge(region: MaskUnion, parts: Sequence[Mapping[str, Any] | None]) -> Mapping[str, Any]:
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise MissingExtraError("pycocotools", "data") from None
    height, width = region.size.height, region.size.width
    packed = [
        coco.frPyObjects(dict(part), height, width) if isinstance(part["counts"], list) else part
        for part in parts
        if part is not None
    ]
    joined: Mapping[str, Any] = coco.merge(packed)
    return joined
