"""Records of COCO files, which many data sets share: images and segmentations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.checks import inside_folder
from text4seg.data.mask_sources import MaskSource, PolygonMask, RunLengthMask, join_masks
from text4seg.data.reports import RecordError


def image_of(image: dict[str, Any], folder: Path, file: Path) -> tuple[Path, Size]:
    """Read the path and the size of an image's record.

    Args:
        image: The record.
        folder: The folder of the images.
        file: The annotation file, for messages.

    Raises:
        RecordError: A key is missing, or the path leads out of the folder.
    """
    name, height, width = (image.get(key) for key in ("file_name", "height", "width"))
    where = f"{file}, image {image.get('id')}"
    if not isinstance(name, str) or not isinstance(height, int) or not isinstance(width, int):
        raise RecordError("bad record", f"{where}: 'file_name', 'height' and 'width' are needed")
    try:
        return inside_folder(folder, name), Size(height, width)
    except RecordError as error:
        raise RecordError(error.kind, f"{where}: {error}") from error
    except InputError as error:
        raise RecordError("bad record", f"{where}: {error}") from error


def region_of(segmentation: object, size: Size) -> MaskSource:
    """Read a COCO `segmentation`.

    Args:
        segmentation: Polygons, run lengths, or a list of run lengths.
        size: The size of the image.

    Raises:
        RecordError: It is something else.
    """
    if isinstance(segmentation, dict):
        try:
            return RunLengthMask.from_coco(segmentation)
        except InputError as error:
            raise RecordError("bad run lengths", str(error)) from error
    if isinstance(segmentation, list) and segmentation:
        if all(isinstance(one, dict) for one in segmentation):  # as RefCLEF has them
            return join_masks([region_of(one, size) for one in segmentation])
        try:
            polygons = tuple(tuple(map(float, polygon)) for polygon in segmentation)
        except (TypeError, ValueError):
            raise RecordError(
                "bad polygon", "'segmentation' is a list of lists of numbers"
            ) from None
        return PolygonMask(size, polygons)
    raise RecordError("no mask", "'segmentation' is neither polygons nor run lengths")
