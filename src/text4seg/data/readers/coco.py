"""COCO instances: one JSON with images, annotations (polygons or run lengths) and categories.

Exports of labelling tools in COCO's format (CVAT, Label Studio, Roboflow, labelme2coco …) are
read too. The instances of a class are joined to one target.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.data.checks import check_mask
from text4seg.data.coco_index import CocoIndex, index_coco
from text4seg.data.coco_records import image_of, region_of
from text4seg.data.interface import Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import MaskSource, join_masks
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
    """Images of a COCO file; each class with all its instances is a target."""

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
                check_mask(region, size, count=False)
            except RecordError as error:
                report.skip(error.kind, f"{where}: {error}")
                continue
            found.setdefault(plain_name(category), []).append(
                (region, category, str(annotation.get("id")))
            )
        targets = tuple(self._target(name, parts, image) for name, parts in found.items())
        absent = tuple(name for name in self.classes if name not in found)
        return Sample(path, targets, size, str(image["id"]), self.name, self.split, absent)

    def _category(self, annotation: dict[str, Any]) -> str:
        number = annotation.get("category_id")
        if not isinstance(number, int) or number not in self.index.categories:
            raise RecordError("unknown category id", f"no category has the id {number!r}")
        return str(self.index.categories[number]["name"])

    def _target(
        self, name: str, parts: list[tuple[MaskSource, str, str]], image: dict[str, Any]
    ) -> ReferringTarget:
        regions, categories, ids = zip(*parts, strict=True)
        source = f"{self.index.path}, image {image['id']}, {name}"
        return ReferringTarget(
            name,
            join_masks(list(regions)),
            self.split or self.name,
            source,
            kind="class",
            category=categories[0],
            ids=ids,
        )


def _open(source: Source) -> CocoDataset:
    path = source.find_file(("annotations/instances_{split}.json", "_annotations.coco.json"))
    split = source.split or ""
    usual = (source.root / split, path.parent / "images") if split else (path.parent / "images",)
    images = source.find_images(path.parent, tuple(one for one in usual if one != source.root))
    return CocoDataset(index_coco(path, source.report), images, split)


COCO = Reader(
    name="coco",
    summary="COCO instances, and COCO JSON of any labelling tool; one question a class",
    layout=LAYOUT,
    open=_open,
)
