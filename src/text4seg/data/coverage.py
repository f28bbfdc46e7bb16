"""How much of each cell a region covers, without drawing its pixels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from text4seg.core.errors import MissingExtraError
from text4seg.core.geometry import mask_to_coverage
from text4seg.core.rle import rle_to_runs
from text4seg.core.types import GridShape
from text4seg.data.regions import Joined, Labelled, Polygons, Region


def region_to_coverage(region: Region, shape: GridShape) -> Float32[np.ndarray, "rows cols"]:
    """The exact share of each cell, 0 to 1, that a region covers: `mask_to_coverage` of its pixels.

    Polygons go through pycocotools' run lengths, run lengths are summed as they stand; only
    pictures of labels, and regions joined with them, are looked at pixel by pixel. Raises
    `InputError`.
    """
    rle = region_to_rle(region)
    return mask_to_coverage(region.to_mask(), shape) if rle is None else rle_to_coverage(rle, shape)


def region_to_rle(region: Region) -> Mapping[str, Any] | None:
    """COCO run lengths of a region if that takes no pixels, else None."""
    if isinstance(region, Labelled):
        return None
    if not isinstance(region, Polygons | Joined):
        return region.to_rle()
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise MissingExtraError("pycocotools", "data") from None
    height, width = region.size.height, region.size.width
    if isinstance(region, Polygons):
        outlines = [list(polygon) for polygon in region.polygons]
        merged: Mapping[str, Any] = coco.merge(coco.frPyObjects(outlines, height, width))
        return merged
    parts = [region_to_rle(part) for part in region.regions]
    if any(part is None for part in parts):
        return None
    packed = [
        coco.frPyObjects(dict(part), height, width) if isinstance(part["counts"], list) else part
        for part in parts
        if part is not None
    ]
    joined: Mapping[str, Any] = coco.merge(packed)
    return joined


def rle_to_coverage(rle: Mapping[str, Any], shape: GridShape) -> Float32[np.ndarray, "rows cols"]:
    """The share of each cell that COCO run lengths cover; raises `InputError`."""
    runs = rle_to_runs(rle)
    height, width = runs.size.height, runs.size.width
    # Runs go down one column and may turn into the next: cut them there.
    first, last = runs.starts // height, (runs.ends - 1) // height
    spans = last - first + 1
    owner = np.repeat(np.arange(len(spans)), spans)
    column = first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(spans) - spans, spans)
    top = np.maximum(runs.starts[owner] - column * height, 0)
    bottom = np.minimum(runs.ends[owner] - column * height, height)
    if not len(column):
        return np.zeros((shape.rows, shape.cols), dtype=np.float32)
    # In units of a cell's share of a pixel, so that all numbers are integers. Columns ascend.
    passed = _passed(shape.rows, height)
    heights = passed[bottom] - passed[top]
    new = np.flatnonzero(np.diff(column, prepend=-1))
    edges = _passed(shape.cols, width)
    widths = edges[column[new] + 1] - edges[column[new]]
    areas = np.add.reduceat(heights, new, axis=0).T @ widths
    return np.asarray(areas / runs.size.pixels, dtype=np.float32)


@functools.lru_cache(maxsize=64)
def _passed(count: int, length: int) -> Float64[np.ndarray, "places count"]:
    """How much of each of `count` equal cells lies before each pixel, in pixels times `count`."""
    places = np.arange(length + 1, dtype=np.int64)[:, None] * count
    cells = np.arange(count, dtype=np.int64) * length
    passed: np.ndarray = np.clip(places - cells, 0, length).astype(np.float64)
    passed.setflags(write=False)
    return passed
