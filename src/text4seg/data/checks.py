"""Checks of every image, mask and file name, whatever its reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.interface import Sample
from text4seg.data.mask_sources import MaskSource
from text4seg.data.reports import RecordError


def check_image(sample: Sample) -> Sample:
    """Compare the image's header with the annotated size.

    Returns:
        The sample with the true size of its upright image.

    Raises:
        RecordError: The image is missing, broken or of another size.
    """
    from text4seg import images

    if sample.content is None and not sample.image.exists():
        raise RecordError("missing image", f"there is no image {sample.image}")
    try:
        size = images.check_image(sample.image, content=sample.content)
    except InputError as error:
        raise RecordError("broken image", str(error)) from error
    if sample.size is not None and size != sample.size:
        raise RecordError(
            "mask of another size",
            f"{sample.image} is {size}, and its annotations say {sample.size}",
        )
    return sample if sample.size is not None else replace(sample, size=size)


def check_mask(mask: MaskSource, size: Size | None, *, count: bool) -> int | None:
    """Check a mask against the image's size.

    Args:
        mask: The mask.
        size: The size of the image, where it is known.
        count: Also draw the mask where that is needed to count its pixels.

    Returns:
        The number of pixels, or None without `count`.

    Raises:
        RecordError: The mask cannot be used.
    """
    mask.check(size)
    if not count:
        return None
    try:
        area = mask.area()
    except InputError as error:
        raise RecordError(mask.fault, str(error)) from error
    if not area:
        raise RecordError("mask without a pixel", "the mask has no pixel")
    return area


def inside_folder(folder: Path, name: str) -> Path:
    """Join a name from a file with a folder.

    Raises:
        RecordError: The name leads out of the folder.
    """
    parts = Path(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not name or "\0" in name:
        raise RecordError("path outside the folder", f"{name!r} does not stay below {folder}")
    return folder / parts
