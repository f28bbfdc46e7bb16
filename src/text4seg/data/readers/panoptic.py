"""COCO panoptic: a JSON of segments, and for each image a PNG whose colors are their ids."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.checks import inside_folder
from text4seg.data.coco_records import image_of
from text4seg.data.interface import Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import LabelMapMask, open_labels
from text4seg.data.reports import ReadReport, RecordError

LAYOUT = """\
ROOT/annotations/panoptic_<split>.json   or ROOT/panoptic.json, or the file itself
  "annotations": [{"image_id", "file_name": "….png", "segments_info": [{"id", "category_id"}]}]
ROOT/annotations/panoptic_<split>/*.png  or masks/ beside the file: red + 256 green + 65536 blue
IMAGES/<file_name>                       --images; by default ROOT/<split>, or where the record's
                                         own "folder" says, from the parent of the file's folder
"""


@dataclass(frozen=True, slots=True)
class PanopticDataset:
    """Images; each class with all its segments is a target. The list of segments fits in memory."""

    path: Path
    images: Path
    masks: Path
    split: str
    categories: dict[int, str]
    records: tuple[tuple[dict[str, Any], dict[str, Any]], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all categories."""
        return tuple(dict.fromkeys(map(plain_name, self.categories.values())))

    def __len__(self) -> int:
        return len(self.records)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its classes; the picture of segments is opened."""
        image, annotation = self.records[index]
        where = f"{self.path}, image {image.get('id')}"
        folder = self.images
        if "folder" in image:
            folder = inside_folder(self.path.parent.parent, str(image["folder"]))
        image_path, size = image_of(image, folder, self.path)
        path = inside_folder(self.masks, str(annotation.get("file_name")))
        present = _values(path, size)
        found: dict[str, list[tuple[int, str]]] = {}
        for segment in annotation.get("segments_info") or ():
            number, category = segment.get("id"), self.categories.get(segment.get("category_id"))
            if category is None:
                kind, why = "unknown category id", f"no category {segment.get('category_id')!r}"
                report.skip(kind, f"{where}, segment {number}: {why}")
            elif number not in present:
                report.skip("mask without a pixel", f"{where}, segment {number}: not in {path}")
            else:
                found.setdefault(plain_name(category), []).append((number, category))
        targets = tuple(
            ReferringTarget(
                name,
                LabelMapMask(size, path, tuple(number for number, _ in parts)),
                self.split or "panoptic",
                f"{where}, {name}",
                kind="class",
                category=parts[0][1],
                ids=tuple(str(number) for number, _ in parts),
            )
            for name, parts in found.items()
        )
        absent = tuple(name for name in self.classes if name not in found)
        void = LabelMapMask(size, path, (0,)) if 0 in present else None
        return Sample(
            image_path, targets, size, str(image["id"]), "coco-panoptic", self.split, absent, void
        )


def _values(path: Path, size: Size) -> set[int]:
    if not path.is_file():
        raise RecordError("missing mask", f"there is no picture of segments {path}")
    try:
        labels = open_labels(path)
    except InputError as error:
        raise RecordError("broken mask", str(error)) from error
    if labels.shape != (size.height, size.width):
        raise RecordError(
            "mask of another size",
            f"{path} is {labels.shape[0]}x{labels.shape[1]} and the image {size}",
        )
    return set(np.unique(labels).tolist())


def _open(source: Source) -> PanopticDataset:
    patterns = ("annotations/panoptic_{split}.json", "panoptic_{split}.json", "panoptic.json")
    path = source.find_file(patterns)
    try:
        document = json.loads(path.read_bytes())
        images = {image["id"]: image for image in document["images"]}
        categories = {one["id"]: str(one["name"]) for one in document["categories"]}
        annotations = list(document["annotations"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON, or is cut off: {error}") from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is no COCO panoptic file: no {error}") from error
    records = []
    for at, annotation in enumerate(annotations):
        image = images.get(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if image is None:
            source.report.skip("unknown image id", f"{path}, annotation {at}: no such image")
        else:
            records.append((image, annotation))
    split = source.split or ""
    masks = next(
        (one for one in (path.with_suffix(""), path.parent / "masks") if one.is_dir()), path.parent
    )
    usual = tuple(source.root / part for part in (split, "images") if part)
    folder = source.find_images(path.parent, usual)
    return PanopticDataset(path, folder, masks, split, categories, tuple(records))


PANOPTIC = Reader(
    name="coco-panoptic",
    summary="COCO panoptic: things and stuff, every pixel labelled",
    layout=LAYOUT,
    open=_open,
)
