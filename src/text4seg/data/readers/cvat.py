"""CVAT for images 1.1: an XML file, or the ZIP archive as exported.

An archive is read in place. Nothing is unpacked, so no name can lead out of a folder.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.types import Size
from text4seg.data.checks import inside_folder
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import MaskSource, PolygonMask, RunLengthMask, join_masks
from text4seg.data.reports import ReadReport, RecordError

LAYOUT = """\
FILE.zip            annotations.xml and images/…, as exported by "CVAT for images 1.1"
or FILE.xml         <annotations><image id name width height><polygon/><mask/></image></annotations>
IMAGES/<name>       --images; by default images/ beside the file
"""
Shape = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class CvatDataset:
    """Images; each label with all its shapes is a target."""

    path: Path
    images: Path
    records: tuple[tuple[dict[str, str], tuple[Shape, ...]], ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.records)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its labels; an image in the archive comes as bytes."""
        image, shapes = self.records[index]
        where = f"{self.path}, image {image.get('id', index)}"
        try:
            size = Size(int(image["height"]), int(image["width"]))
            image_path = inside_folder(self.images, image["name"])
        except (KeyError, ValueError, InputError) as error:
            kind = error.kind if isinstance(error, RecordError) else "bad record"
            raise RecordError(kind, f"{where}: {error}") from error
        found: dict[str, list[MaskSource]] = {}
        for number, (kind, shape) in enumerate(shapes):
            try:
                label, region = _region(kind, shape, size)
                found.setdefault(plain_name(label), []).append(region)
            except RecordError as error:
                report.skip(error.kind, f"{where}, shape {number}: {error}")
        targets = tuple(
            ReferringTarget(
                label, join_masks(regions), image.get("subset") or "cvat", f"{where}, {label}",
                kind="class", category=label,
            )
            for label, regions in found.items()
        )  # fmt: skip
        absent = tuple(name for name in self.classes if name not in found)
        content = None if image_path.is_file() else _member(self.path, image["name"])
        return Sample(
            image_path,
            targets,
            size,
            image.get("id", str(index)),
            "cvat",
            absent=absent,
            content=content,
        )


def _region(kind: str, shape: dict[str, str], size: Size) -> tuple[str, MaskSource]:
    if kind not in ("polygon", "mask"):
        raise RecordError("no mask", f"a {kind} has no outline")
    label = shape.get("label")
    if not label:
        raise RecordError("no label", "it has no label")
    try:
        if kind == "polygon":
            points = tuple(
                float(part) for point in shape["points"].split(";") for part in point.split(",")
            )
            return label, PolygonMask(size, (points,))
        return label, _mask(shape, size)
    except (KeyError, ValueError) as error:
        raise RecordError("bad record", f"no {error}") from error


def _mask(shape: dict[str, str], size: Size) -> MaskSource:
    """A mask's run lengths go row by row through its own box, and begin with background."""
    left, top, width, height = (int(shape[key]) for key in ("left", "top", "width", "height"))
    counts = [int(part) for part in shape["rle"].split(",")]
    inside = 0 <= left < left + width <= size.width and 0 <= top < top + height <= size.height
    if not inside:
        raise RecordError("mask outside the image", f"its box is not inside the image of {size}")
    if sum(counts) != width * height or min(counts) < 0:
        raise RecordError(
            "bad run lengths", f"they sum to {sum(counts)}, and its box has {width * height} pixels"
        )
    mask = np.zeros((size.height, size.width), dtype=bool)
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    mask[top : top + height, left : left + width] = runs.reshape(height, width)
    return RunLengthMask.from_mask(mask)


def _member(path: Path, name: str) -> bytes | None:
    """An image of the archive, by its name below images/ or at the top; None if there is none."""
    if path.suffix != ".zip":
        return None
    with _archive(path) as archive:
        for member in archive.namelist():
            inside = PurePosixPath(member)
            if member == name or (
                inside.parts[:1] == ("images",) and str(inside).endswith(f"/{name}")
            ):
                return archive.read(member)
    return None


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no ZIP archive that can be read: {error}") from error


def _document(path: Path, report: ReadReport) -> Element:
    try:
        from defusedxml import ElementTree
        from defusedxml.common import DefusedXmlException
    except ImportError:
        raise MissingExtraError("defusedxml", "data") from None
    try:
        if path.suffix == ".zip":
            with _archive(path) as archive:
                for member in archive.namelist():
                    if ".." in PurePosixPath(member).parts or member.startswith(("/", "\\")):
                        report.skip(
                            "path outside the folder", f"{path} holds a file named {member!r}"
                        )
                text = archive.read("annotations.xml")
        else:
            text = path.read_bytes()
        root: Element = ElementTree.fromstring(text)
    except (ParseError, DefusedXmlException, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no annotations.xml that can be read: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return root


def _records(root: Element) -> Iterator[tuple[dict[str, str], tuple[Shape, ...]]]:
    for image in root.iter("image"):
        shapes = tuple((shape.tag, dict(shape.attrib)) for shape in image if shape.tag != "tag")
        yield dict(image.attrib), shapes


def _open(source: Source) -> CvatDataset:
    root = _document(source.root, source.report)
    records: Any = tuple(_records(root))
    if not records:
        raise LayoutError(f"{source.root} lists no image")
    named = [
        one.findtext("name") or "" for one in root.iter("label") if one.find("name") is not None
    ]
    drawn = [shape.get("label", "") for _, shapes in records for _, shape in shapes]
    classes = tuple(dict.fromkeys(plain_name(name) for name in named + drawn if name))
    beside = source.root.parent / "images"
    images = source.images or (beside if beside.is_dir() else source.root.parent)
    return CvatDataset(source.root, images, records, classes)


CVAT = Reader(
    name="cvat",
    summary="CVAT for images 1.1: XML or ZIP, polygons and masks",
    layout=LAYOUT,
    open=_open,
)
