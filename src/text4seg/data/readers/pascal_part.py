"""PASCAL-Part: for each image a MATLAB file with the masks of things and of their parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import MaskSource, RunLengthMask, join_masks, load_matlab
from text4seg.data.reports import ReadReport, RecordError

LAYOUT = """\
ROOT/Annotations_Part/*.mat     anno.objects[].class, .mask and .parts[].part_name, .mask
IMAGES/*.jpg                    --images; by default ROOT/JPEGImages
ROOT/ImageSets/Main/<split>.txt where a split is asked for; a name a line
"""
_SIDES = {"l": "left", "r": "right", "f": "front", "b": "back", "h": "head", "c": "coach"}
_WORDS = {
    "ebrow": "eyebrow", "lfho": "left front hoof", "rfho": "right front hoof",
    "lbho": "left back hoof", "rbho": "right back hoof", "lfpa": "left front paw",
    "rfpa": "right front paw", "lbpa": "left back paw", "rbpa": "right back paw",
    "lleg": "left leg", "rleg": "right leg", "llleg": "left lower leg",
    "luleg": "left upper leg", "rlleg": "right lower leg", "ruleg": "right upper leg",
    "llarm": "left lower arm", "luarm": "left upper arm", "rlarm": "right lower arm",
    "ruarm": "right upper arm", "lflleg": "left front lower leg",
    "lfuleg": "left front upper leg", "rflleg": "right front lower leg",
    "rfuleg": "right front upper leg", "lblleg": "left back lower leg",
    "lbuleg": "left back upper leg", "rblleg": "right back lower leg",
    "rbuleg": "right back upper leg", "lfleg": "left front leg", "rfleg": "right front leg",
    "lbleg": "left back leg", "rbleg": "right back leg", "fwheel": "front wheel",
    "bwheel": "back wheel", "fliplate": "front license plate", "bliplate": "back license plate",
    "chainwheel": "chain wheel", "lmirror": "left mirror", "rmirror": "right mirror",
    "leftmirror": "left mirror", "rightmirror": "right mirror", "frontside": "front side",
    "backside": "back side", "leftside": "left side", "rightside": "right side",
    "roofside": "roof", "hfrontside": "front of the head", "hbackside": "back of the head",
    "hleftside": "left side of the head", "hrightside": "right side of the head",
    "hroofside": "roof of the head", "cfrontside": "front of the coach",
    "cbackside": "back of the coach", "cleftside": "left side of the coach",
    "crightside": "right side of the coach", "croofside": "roof of the coach",
}  # fmt: skip
_SIDED = {"eye", "ear", "ebrow", "hand", "foot", "wing", "horn", "arm", "leg"}
_OBJECTS = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}


@dataclass(frozen=True, slots=True)
class PascalPartDataset:
    """Images with classes and parts; each MATLAB file is opened when its image is asked for."""

    files: tuple[Path, ...]
    images: Path
    split: str
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its classes and their parts."""
        path = self.files[index]
        try:
            things = list(_things(path))
        except InputError as error:
            raise RecordError("broken mask", str(error)) from error
        if not things:
            raise RecordError("no mask", f"{path} has no object")
        size = Size(*things[0][2].shape)
        found: dict[tuple[str, str], list[MaskSource]] = {}
        for thing, part, mask in things:
            if mask.shape != (size.height, size.width):
                report.skip("mask of another size", f"{path}, {thing} {part}: {mask.shape}")
            elif mask.any():
                region = RunLengthMask.from_mask(mask)
                found.setdefault((thing, part), []).append(region)
        targets = tuple(
            ReferringTarget(
                f"{part} of the {thing}" if part else thing,
                join_masks(regions),
                f"pascal-part {self.split}".strip(),
                f"{path}, {thing} {part}".rstrip(),
                kind="part" if part else "class",
                whole=thing if part else "",
                category=f"{thing}:{part}" if part else thing,
            )
            for (thing, part), regions in found.items()
        )
        image = self.images / f"{path.stem}.jpg"
        return Sample(image, targets, size, path.stem, "pascal-part", self.split)


def part_name(raw: str) -> str:
    """A part's name as words: `lfleg` becomes `left front leg`, `wheel_2` becomes `wheel`."""
    name = re.sub(r"_\d+$", "", raw.strip())
    if name in _WORDS:
        return _WORDS[name]
    if name[:1] in ("l", "r") and name[1:] in _SIDED:
        return f"{_SIDES[name[0]]} {_WORDS.get(name[1:], name[1:])}"
    return plain_name(name)


def _things(path: Path) -> Iterator[tuple[str, str, Bool[np.ndarray, "h w"]]]:
    """Things, and parts of things, with their masks; a thing itself has no part name."""
    try:
        objects = load_matlab(path)["anno"]["objects"][0, 0].reshape(-1)
        for thing in objects:
            name = _text(thing["class"])
            name = _OBJECTS.get(name, plain_name(name))
            yield name, "", np.atleast_2d(thing["mask"]) != 0
            for part in np.asarray(thing["parts"]).reshape(-1):
                yield name, part_name(_text(part["part_name"])), np.atleast_2d(part["mask"]) != 0
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not laid out as PASCAL-Part: {error}") from error


def _text(value: Any) -> str:
    return str(np.asarray(value).reshape(-1)[0])


def _open(source: Source) -> PascalPartDataset:
    nested = source.root / "Annotations_Part"
    folder = nested if nested.is_dir() else source.root
    files = sorted(folder.glob("*.mat"))
    if source.split:
        listing = source.root / "ImageSets" / "Main" / f"{source.split}.txt"
        if not listing.is_file():
            raise InputError(f"there is no list of the split, {listing}")
        stems = set(listing.read_text("utf-8").split())
        files = [path for path in files if path.stem in stems]
    if not files:
        raise LayoutError(f"{folder} has no *.mat")
    images = source.images or folder.parent / "JPEGImages"
    return PascalPartDataset(tuple(files), images, source.split or "")


PASCAL_PART = Reader(
    name="pascal-part",
    summary="PASCAL-Part: 20 classes of VOC 2010 and their parts",
    layout=LAYOUT,
    open=_open,
)
