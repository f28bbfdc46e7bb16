"""Masks of an image, kept as their annotation gives them until their pixels are needed.

A reader makes polygons, COCO run lengths or a place in a label image; nothing is drawn or opened
while it reads. All kinds have the methods of `MaskSource` and report faults as `InputError`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int

from text4seg.core.coverage import polygons_to_rle, rles_to_coverage
from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.geometry import mask_to_coverage, polygons_to_mask
from text4seg.core.run_lengths import mask_to_rle, rle_area, rle_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.data.reports import RecordError


class MaskSource(Protocol):
    """Some pixels of an image. All methods raise `InputError` where they cannot be had."""

    @property
    def size(self) -> Size:
        """The size of the upright image."""

    @property
    def parts(self) -> tuple[MaskSource, ...]:
        """The single masks of a union, otherwise the mask alone."""

    @property
    def fault(self) -> str:
        """The kind under which a report counts a mask of this sort that cannot be read."""

    def check(self, size: Size | None) -> None:
        """Look for faults without drawing anything.

        Args:
            size: The size of the image, where it is known.

        Raises:
            RecordError: The mask is of another size, empty or malformed.
        """

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """Draw the pixels.

        Returns:
            A boolean array `h w`.
        """

    def to_rle(self) -> Mapping[str, Any]:
        """Get the pixels as COCO run lengths.

        Returns:
            `{"size": [height, width], "counts": …}`.
        """

    def undrawn_rle(self) -> Mapping[str, Any] | None:
        """Get COCO run lengths if that needs no drawing.

        Returns:
            The same as `to_rle`, or None where the mask would have to be drawn.
        """

    def area(self) -> int:
        """Count the pixels.

        Returns:
            The number of pixels, at least 0.
        """


class _BaseMask:
    """What most masks share; measuring one means drawing it unless a class knows better."""

    __slots__ = ()
    fault: ClassVar[str] = "bad mask"
    size: Size

    @property
    def parts(self) -> tuple[MaskSource, ...]:
        """The mask alone."""
        return (self,)

    def check(self, size: Size | None) -> None:
        """Check the size."""
        if size is not None and self.size != size:
            raise RecordError(
                "mask of another size", f"the mask is {self.size} and the image is {size}"
            )

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        raise NotImplementedError

    def to_rle(self) -> Mapping[str, Any]:
        """Get the pixels as COCO run lengths."""
        return mask_to_rle(self.to_mask())

    def undrawn_rle(self) -> Mapping[str, Any] | None:
        """Get nothing: the mask has to be drawn."""
        return None

    def area(self) -> int:
        """Count the pixels."""
        return int(np.count_nonzero(self.to_mask()))


@dataclass(frozen=True, slots=True)
class RunLengthMask(_BaseMask):
    """Pixels given as COCO run lengths, compressed (text or bytes) or a list of counts."""

    size: Size
    counts: str | bytes | list[int]
    fault: ClassVar[str] = "bad run lengths"

    @classmethod
    def from_coco(cls, rle: Mapping[str, Any]) -> RunLengthMask:
        """Take COCO run lengths.

        Args:
            rle: `{"size": [height, width], "counts": …}`; the counts are checked when used.

        Returns:
            The mask.

        Raises:
            InputError: The mapping has another form.
        """
        try:
            height, width = rle["size"]
            return cls(Size(int(height), int(width)), rle["counts"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                'COCO run lengths are {"size": [height, width], "counts": …}'
            ) from None

    @classmethod
    def from_mask(cls, mask: Bool[np.ndarray, "h w"]) -> RunLengthMask:
        """Keep drawn pixels as run lengths.

        Args:
            mask: A boolean array `h w`.

        Returns:
            The mask.
        """
        return cls.from_coco(mask_to_rle(mask))

    def check(self, size: Size | None) -> None:
        """Check the size and the counts."""
        _BaseMask.check(self, size)
        try:
            area = self.area()
        except InputError as error:
            raise RecordError(self.fault, str(error)) from error
        if not area:
            raise RecordError("mask without a pixel", "the mask has no pixel")

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """Draw the pixels."""
        return rle_to_mask(self.to_rle())

    def to_rle(self) -> Mapping[str, Any]:
        """Get the run lengths as given."""
        return {"size": [self.size.height, self.size.width], "counts": self.counts}

    undrawn_rle = to_rle

    def area(self) -> int:
        """Count the pixels."""
        return rle_area(self.to_rle())


@dataclass(frozen=True, slots=True)
class PolygonMask(_BaseMask):
    """Pixels inside any of some polygons, each a flat list x, y, x, y, … in pixels (COCO's)."""

    size: Size
    polygons: tuple[tuple[float, ...], ...]

    def check(self, size: Size | None) -> None:
        """Check the size and that some polygon of three points or more meets the image."""
        _BaseMask.check(self, size)
        if not self.polygons:
            raise RecordError("bad polygon", "there is no polygon")
        meet = [self._meets_image(at) for at in range(len(self.polygons))]  # checks all of them
        if not any(meet):
            raise RecordError(
                "polygon outside the image", f"no polygon meets the image of {self.size}"
            )

    def _meets_image(self, at: int) -> bool:
        polygon = self.polygons[at]
        if len(polygon) < 6 or len(polygon) % 2:
            raise RecordError(
                "bad polygon",
                f"polygon {at} is not a list x, y, x, y, … of three points or more: "
                f"{len(polygon)} numbers",
            )
        if not all(map(math.isfinite, polygon)):
            raise RecordError("bad polygon", f"polygon {at} has a number that is not finite")
        xs, ys = polygon[0::2], polygon[1::2]
        starts_inside = min(xs) < self.size.width and min(ys) < self.size.height
        return starts_inside and max(xs) > 0 and max(ys) > 0

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """Draw the pixels as pycocotools does."""
        return polygons_to_mask(self.polygons, self.size)

    def undrawn_rle(self) -> Mapping[str, Any]:
        """Get the run lengths of the polygons' union."""
        return polygons_to_rle(self.polygons, self.size)


@dataclass(frozen=True, slots=True)
class LabelMapMask(_BaseMask):
    """Pixels of a label image that hold one of some values; without values, all but zero.

    Attributes:
        size: The size of the image, which is also that of the label image.
        path: The label image; for one inside another file, a name for messages.
        values: What the pixels hold: gray or palette index, or `red + 256 green + 65536 blue`.
        content: The bytes of a label image that is not a file of its own.
    """

    size: Size
    path: Path
    values: tuple[int, ...] | None = None
    content: bytes | None = None
    fault: ClassVar[str] = "bad mask image"

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """Open the label image, of which the last few are kept, and compare its values."""
        labels = open_labels(self.path, self.content)
        if labels.shape != (self.size.height, self.size.width):
            raise InputError(
                f"{self.path} is {labels.shape[0]}x{labels.shape[1]} and the image {self.size}"
            )
        if self.values is None:
            return np.asarray(labels != 0)
        if len(self.values) == 1:
            return np.asarray(labels == self.values[0])
        return np.isin(labels, self.values)


@dataclass(frozen=True, slots=True)
class MaskUnion(_BaseMask):
    """Pixels of any of several masks of one image: instances of a class, or several targets."""

    parts: tuple[MaskSource, ...]

    @property
    def size(self) -> Size:  # type: ignore[override]  # that of its parts
        """The size of the image."""
        return self.parts[0].size

    def check(self, size: Size | None) -> None:
        """Check every part."""
        for part in self.parts:
            part.check(size)

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """Draw all parts."""
        mask = self.parts[0].to_mask()
        for part in self.parts[1:]:
            mask = mask | part.to_mask()
        return mask

    def undrawn_rle(self) -> Mapping[str, Any] | None:
        """Merge the run lengths of the parts, where all of them have some without drawing."""
        rles = [part.undrawn_rle() for part in self.parts]
        known = [rle for rle in rles if rle is not None]
        return _merge_rles(known, self.size) if len(known) == len(rles) else None


def join_masks(masks: Sequence[MaskSource]) -> MaskSource:
    """Make one mask of one or more."""
    return masks[0] if len(masks) == 1 else MaskUnion(tuple(masks))


def _merge_rles(rles: Sequence[Mapping[str, Any]], size: Size) -> Mapping[str, Any]:
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise MissingExtraError("pycocotools", "data") from None
    packed = [
        coco.frPyObjects(dict(rle), size.height, size.width)
        if isinstance(rle["counts"], list)
        else rle
        for rle in rles
    ]
    merged: Mapping[str, Any] = coco.merge(packed)
    return merged


def sources_to_coverage(
    masks: Sequence[MaskSource], shape: GridShape
) -> list[Float32[np.ndarray, "rows cols"]]:
    """Compute how much of each cell each mask covers.

    Polygons and run lengths are summed without drawing a pixel; only label images, and unions with
    them, are drawn. Several masks take less time together than one after the other.

    Args:
        masks: Masks of any sizes.
        shape: The grid that lies over each image.

    Returns:
        For each mask the exact share of each cell, from 0 to 1.

    Raises:
        InputError: A mask cannot be read.
    """
    rles = [mask.undrawn_rle() for mask in masks]
    summed = iter(rles_to_coverage([rle for rle in rles if rle is not None], shape))
    return [
        mask_to_coverage(mask.to_mask(), shape) if rle is None else next(summed)
        for mask, rle in zip(masks, rles, strict=True)
    ]


def open_labels(path: Path, content: bytes | None = None) -> Int[np.ndarray, "h w"]:
    """Read the values of a label image: gray or palette index, or red + 256 green + 65536 blue.

    Args:
        path: A picture, or a MATLAB file with a `LabelMap`.
        content: The bytes of a picture that is not a file of its own.

    Returns:
        A read-only array that callers share; the last few are kept.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        changed = path.stat().st_mtime_ns if content is None else 0
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return _open_labels(path, content, changed)


@functools.lru_cache(maxsize=4)
def _open_labels(path: Path, content: bytes | None, changed: int) -> Int[np.ndarray, "h w"]:
    del changed  # part of the key, so that a file that was written anew is opened anew
    from text4seg.images import open_values

    matlab = path.suffix == ".mat"
    values = _open_matlab(path) if matlab else open_values(path, content=content)
    if values.ndim == 3:
        wide = values[..., :3].astype(np.int32)
        values = wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2]
    values.setflags(write=False)
    return values


def _open_matlab(path: Path) -> Int[np.ndarray, "h w"]:
    """The `LabelMap` of a MATLAB file, as in PASCAL Context."""
    values = np.asarray(load_matlab(path).get("LabelMap"))
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise InputError(f"{path} has no 'LabelMap' of whole numbers")
    return values.copy()


def load_matlab(path: Path) -> dict[str, Any]:
    """Read the variables of a MATLAB file.

    Raises:
        InputError: The file cannot be read.
        MissingExtraError: SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:
        raise MissingExtraError("scipy", "data") from None
    try:
        variables: dict[str, Any] = loadmat(path, squeeze_me=False)
    except (OSError, ValueError, TypeError, EOFError, MatReadError, NotImplementedError) as error:
        raise InputError(f"{path} is no MATLAB file that can be read: {error}") from error
    return variables
