"""Pixels of an image, kept as their annotation gives them until somebody asks for them.

A reader hands out polygons, COCO run lengths or a place in a picture file; nothing is drawn or
opened while it reads. All kinds answer the same questions, and all of them say what is wrong with
them as an `InputError`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Int

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.geometry import polygons_to_mask
from text4seg.core.run_lengths import mask_to_rle, rle_area, rle_to_mask
from text4seg.core.types import Size


class MaskSource(Protocol):
    """Some pixels of an image of `size`."""

    @property
    def size(self) -> Size:
        """The size of the image that they belong to."""

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """The pixels themselves; raises `InputError`."""

    def to_rle(self) -> Mapping[str, Any]:
        """The pixels as COCO run lengths; raises `InputError`."""

    def area(self) -> int:
        """How many pixels there are; raises `InputError`."""


@dataclass(frozen=True, slots=True)
class RunLengthMask:
    """Pixels given as COCO run lengths, compressed or plain."""

    size: Size
    counts: str | bytes | list[int]

    @classmethod
    def from_coco(cls, rle: Mapping[str, Any]) -> RunLengthMask:
        """From `{"size": [height, width], "counts": …}`; the counts are checked when used."""
        try:
            height, width = rle["size"]
            return cls(Size(int(height), int(width)), rle["counts"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                'COCO run lengths are {"size": [height, width], "counts": …}'
            ) from None

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """The pixels themselves."""
        return rle_to_mask(self.to_rle())

    def to_rle(self) -> Mapping[str, Any]:
        """As given."""
        return {"size": [self.size.height, self.size.width], "counts": self.counts}

    def area(self) -> int:
        """How many pixels there are."""
        return rle_area(self.to_rle())


@dataclass(frozen=True, slots=True)
class PolygonMask:
    """Pixels inside any of some polygons, each a flat list x, y, x, y, … in pixels (COCO's)."""

    size: Size
    polygons: tuple[tuple[float, ...], ...]

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """The pixels that pycocotools draws."""
        return polygons_to_mask(self.polygons, self.size)

    def to_rle(self) -> Mapping[str, Any]:
        """The same as run lengths."""
        return mask_to_rle(self.to_mask())

    def area(self) -> int:
        """How many pixels there are."""
        return int(np.count_nonzero(self.to_mask()))


@dataclass(frozen=True, slots=True)
class LabelMapMask:
    """Pixels of a picture file that hold one of some values; without values, all but zero.

    Attributes:
        size: The size of the image, which is also that of the picture.
        path: The picture; for one inside another file, where it stands.
        values: What the pixels hold: grey or palette index, or `red + 256 green + 65536 blue`.
        content: The bytes of the picture where it is no file of its own.
    """

    size: Size
    path: Path
    values: tuple[int, ...] | None = None
    content: bytes | None = None

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """The pixels themselves; the picture is opened, and the last few are kept open."""
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

    def to_rle(self) -> Mapping[str, Any]:
        """The same as run lengths."""
        return mask_to_rle(self.to_mask())

    def area(self) -> int:
        """How many pixels there are."""
        return int(np.count_nonzero(self.to_mask()))


@dataclass(frozen=True, slots=True)
class MaskUnion:
    """Pixels of any of several regions of one image: the instances of a class, many targets."""

    regions: tuple[MaskSource, ...]

    @property
    def size(self) -> Size:
        """The size of the image."""
        return self.regions[0].size

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """The pixels of all of them."""
        mask = self.regions[0].to_mask()
        for region in self.regions[1:]:
            mask = mask | region.to_mask()
        return mask

    def to_rle(self) -> Mapping[str, Any]:
        """The same as run lengths."""
        return self.regions[0].to_rle() if len(self.regions) == 1 else mask_to_rle(self.to_mask())

    def area(self) -> int:
        """How many pixels there are."""
        return int(np.count_nonzero(self.to_mask()))


def open_labels(path: Path, content: bytes | None = None) -> Int[np.ndarray, "h w"]:
    """The values of a picture of labels: grey or palette index, or red + 256 green + 65536 blue.

    The array is read-only and shared; the last few are kept. Raises `InputError`.
    """
    try:
        changed = path.stat().st_mtime_ns if content is None else 0
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return _open_labels(path, content, changed)


@functools.lru_cache(maxsize=4)
def _open_labels(path: Path, content: bytes | None, changed: int) -> Int[np.ndarray, "h w"]:
    del changed  # a part of the key: a file that was written anew is opened anew
    from text4seg.images import open_values

    matlab = path.suffix == ".mat"
    values = _open_matlab(path) if matlab else open_values(path, content=content)
    if values.ndim == 3:
        wide = values[..., :3].astype(np.int32)
        values = wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2]
    values.setflags(write=False)
    return values


def _open_matlab(path: Path) -> Int[np.ndarray, "h w"]:
    """The `LabelMap` of a MATLAB file, as PASCAL Context has them."""
    values = np.asarray(load_matlab(path).get("LabelMap"))
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise InputError(f"{path} has no 'LabelMap' of whole numbers")
    return values.copy()


def load_matlab(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file; raises `InputError`, `MissingExtraError` without SciPy."""
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


def join(regions: list[MaskSource]) -> MaskSource:
    """One region of several."""
    return regions[0] if len(regions) == 1 else MaskUnion(tuple(regions))
