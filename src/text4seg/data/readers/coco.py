"""COCO instances: one JSON with images, annotations (polygons or run lengths) and categories.

Exports of labelling tools in COCO's format (CVAT, Label Studio, Roboflow, labelme2coco …) are
read too. The instances of a class are joined: what is asked is the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.checks import check_region, inside_folder
from text4seg.data.coco_index import CocoIndex, index_coco
from text4seg.data.interface import ReferringTarget, Sample
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import MaskSource, PolygonMask, RunLengthMask, join
from text4seg.data.reading import Reader, Source
from text4seg.data.reports import ReadReport, RecordError

LAYOUT = """\
FILE.json                     {"images": […], "annotations": […], "categories": […]}
IMAGES/<file_name>            --images; by default beside the file, or in images/ beside it
or ROOT/
  annotations/instances_<split>.json
  <split>/<file_name>
"""


@dataclass(frozen=True, slots=True)
class CocoDataset:
    """Images of a COCO file, with a class and all its instances an expression."""

    index: CocoIndex
    images: Path
    split: str
    name: str = "coco"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all categories."""
        return tuple(
            dict.fromkeys(plain_name(str(one["name"])) for one in self.index.categories.values())
        )

    def __len__(self) -> int:
        return len(self.index)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its classes."""
        image = self.index.image(index)
        path, size = image_of(image, self.images, self.index.path)
        found: dict[str, list[tuple[MaskSource, str, str]]] = {}
        for annotation in self.index.annotations(index):
            where = f"{self.index.path}, annotation {annotation.get('id')}"
            try:
                category = self._category(annotation)
                region = region_of(annotation.get("segmentation"), size)
                check_region(region, size, count=False)
            except RecordError as error:
                report.skip(error.kind, f"{where}: {error}")
                continue
            found.setdefault(plain_name(category), []).append(
                (region, category, str(annotation.get("id")))
            )
        asked = tuple(self._asked(name, parts, image) for name, parts in found.items())
        absent = tuple(name for name in self.classes if name not in found)
        return Sample(path, asked, size, str(image["id"]), self.name, self.split, absent)

    def _category(self, annotation: dict[str, Any]) -> str:
        number = annotation.get("category_id")
        if not isinstance(number, int) or number not in self.index.categories:
            raise RecordError("unknown category id", f"no category has the id {number!r}")
        return str(self.index.categories[number]["name"])

    def _asked(
        self, name: str, parts: list[tuple[MaskSource, str, str]], image: dict[str, Any]
    ) -> ReferringTarget:
        regions, categories, ids = zip(*parts, strict=True)
        source = f"{self.index.path}, image {image['id']}, {name}"
        return ReferringTarget(
            name,
            join(list(regions)),
            self.split or self.name,
            source,
            kind="class",
            category=categories[0],
            ids=ids,
        )


def image_of(image: dict[str, Any], folder: Path, file: Path) -> tuple[Path, Size]:
    """Path and size of an image's record; raises `RecordError`."""
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
    """The pixels of a COCO `segmentation`; raises `RecordError` where it is none."""
    if isinstance(segmentation, dict):
        try:
            return RunLengthMask.from_coco(segmentation)
        except InputError as error:
            raise RecordError("bad run lengths", str(error)) from error
    if isinstance(segmentation, list) and segmentation:
        if all(isinstance(one, dict) for one in segmentation):  # as RefCLEF has them
            return join([region_of(one, size) for one in segmentation])
        try:
            polygons = tuple(tuple(map(float, polygon)) for polygon in segmentation)
        except (TypeError, ValueError):
            raise RecordError(
                "bad polygon", "'segmentation' is a list of lists of numbers"
            ) from None
        return PolygonMask(size, polygons)
    raise RecordError("no mask", "'segmentation' is neither polygons nor run lengths")


def find_file(source: Source, patterns: tuple[str, ...], reader: Reader) -> Path:
    """The annotation file: the root itself, or the first pattern below it that exists."""
    if source.root.is_file():
        return source.root
    for pattern in patterns:
        path = source.root / pattern.format(split=source.split or "")
        if path.is_file():
            return path
    tried = ", ".join(pattern.format(split=source.split or "") for pattern in patterns)
    raise InputError(
        f"{source.root} has none of {tried}; {reader.name} is laid out as\n{reader.layout}"
    )


def find_images(source: Source, beside: Path, usual: tuple[Path, ...]) -> Path:
    """The folder of images: as given, or the first usual one that exists, or beside the file."""
    if source.images is not None:
        if not source.images.is_dir():
            raise InputError(f"there is no folder of images {source.images}")
        return source.images
    return next((folder for folder in usual if folder.is_dir()), beside)


def _open(source: Source) -> CocoDataset:
    path = find_file(source, ("annotations/instances_{split}.json", "_annotations.coco.json"), COCO)
    split = source.split or ""
    usual = (source.root / split, path.parent / "images") if split else (path.parent / "images",)
    images = find_images(source, path.parent, tuple(one for one in usual if one != source.root))
    return CocoDataset(index_coco(path, source.report), images, split)


COCO = Reader(
    name="coco",
    what="COCO instances, and COCO JSON of any labelling tool; one question a class",
    layout=LAYOUT,
    open=_open,
)
