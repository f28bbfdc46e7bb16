"""LVIS, and PACO-LVIS with the parts of things; variants of COCO's layout.

LVIS names images by `coco_url`, has synonyms, and lists for each image the classes that are
verified to be absent; nothing is known of the others. PACO's part annotations have a category
`mug:handle` and, in `obj_ann_id`, the annotation of the whole thing.
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

LVIS_LAYOUT = """\
ROOT/lvis_v1_<split>.json           or the file itself
IMAGES/train2017/000000391895.jpg   --images holds train2017/ and val2017/; by default ROOT
"""
PACO_LAYOUT = """\
ROOT/annotations/paco_lvis_v1_<split>.json   or in ROOT, or the file itself
IMAGES/<file_name>                           --images holds train2017/ and val2017/; by default ROOT
"""


@dataclass(frozen=True, slots=True)
class LvisDataset:
    """Images; each class, or part of a class, with all its instances is a target."""

    index: CocoIndex
    images: Path
    name: str
    split: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all categories."""
        return tuple(dict.fromkeys(map(_expression, self.index.categories.values())))

    def __len__(self) -> int:
        return len(self.index)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its classes and parts."""
        image = self.index.image(index)
        path, size = image_of(_with_name(image), self.images, self.index.path)
        found: dict[int, list[tuple[MaskSource, str]]] = {}
        for annotation in self.index.annotations(index):
            where = f"{self.index.path}, annotation {annotation.get('id')}"
            number = annotation.get("category_id")
            try:
                if number not in self.index.categories:
                    raise RecordError("unknown category id", f"no category has the id {number!r}")
                region = region_of(annotation.get("segmentation"), size)
                check_mask(region, size, count=False)
            except RecordError as error:
                report.skip(error.kind, f"{where}: {error}")
                continue
            found.setdefault(number, []).append((region, str(annotation.get("id"))))
        targets = tuple(self._target(number, parts, image) for number, parts in found.items())
        absent = tuple(
            _expression(self.index.categories[number])
            for number in image.get("neg_category_ids") or ()
            if number in self.index.categories
        )
        return Sample(path, targets, size, str(image["id"]), self.name, self.split, absent)

    def _target(
        self, number: int, parts: list[tuple[MaskSource, str]], image: dict[str, Any]
    ) -> ReferringTarget:
        category = self.index.categories[number]
        regions, ids = zip(*parts, strict=True)
        name = str(category["name"])
        whole, _, part = name.partition(":")
        words = _expression(category)
        others = [plain_name(str(one)) for one in category.get("synonyms") or ()]
        return ReferringTarget(
            words,
            join_masks(list(regions)),
            f"{self.name} {self.split}",
            f"{self.index.path}, image {image['id']}, {name}",
            kind="part" if part else "class",
            whole=plain_name(whole) if part else "",
            category=name,
            ids=ids,
            synonyms=tuple(one for one in dict.fromkeys(others) if one != words),
        )


def _expression(category: dict[str, Any]) -> str:
    whole, _, part = str(category["name"]).partition(":")
    return f"{plain_name(part)} of the {plain_name(whole)}" if part else plain_name(whole)


def _with_name(image: dict[str, Any]) -> dict[str, Any]:
    """The record with a `file_name`, which LVIS keeps at the end of a URL."""
    url = image.get("coco_url")
    if "file_name" in image or not isinstance(url, str):
        return image
    return image | {"file_name": "/".join(url.split("/")[-2:])}


def _open_lvis(source: Source) -> LvisDataset:
    path = source.find_file(("lvis_v1_{split}.json", "annotations/lvis_v1_{split}.json"))
    images = source.find_images(path.parent, (path.parent / "images",))
    return LvisDataset(index_coco(path, source.report), images, "lvis", source.split or "")


def _open_paco(source: Source) -> LvisDataset:
    patterns = ("annotations/paco_lvis_v1_{split}.json", "paco_lvis_v1_{split}.json")
    path = source.find_file(patterns)
    images = source.find_images(path.parent, (path.parent / "images",))
    return LvisDataset(index_coco(path, source.report), images, "paco-lvis", source.split or "")


LVIS = Reader(
    name="lvis",
    summary="LVIS: 1,203 classes, with synonyms and verified absences",
    layout=LVIS_LAYOUT,
    open=_open_lvis,
    splits=("train", "val", "minival"),
)
PACO = Reader(
    name="paco-lvis",
    summary="PACO-LVIS: 75 classes of things and their 456 parts",
    layout=PACO_LAYOUT,
    open=_open_paco,
    splits=("train", "val", "test"),
)
