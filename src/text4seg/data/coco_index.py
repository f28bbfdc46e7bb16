"""The places of images, annotations and categories in a COCO file.

Only places are kept, 32 bytes per annotation; records are read again when they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from text4seg.core.errors import InputError
from text4seg.data.json_index import JsonRecord, read_records, walk
from text4seg.data.reports import ReadReport, RecordError

_KEYS = ("images", "annotations", "categories")


@dataclass(slots=True)
class CocoIndex:
    """The places of a file's records.

    Attributes:
        path: The file.
        image_ids: The id of each image, in the order of the file.
        categories: The record of each category by its id.
        image_places: Start and end of each image's record, in bytes.
        annotation_ids: The id of each annotation, sorted by image, then by place in the file.
        annotation_places: Start and end of each annotation's record, in the same order.
        first: For image i, its annotations are those from `first[i]` to `first[i + 1]`.
    """

    path: Path
    image_ids: list[int | str]
    categories: dict[int, dict[str, Any]]
    image_places: Int64[np.ndarray, "images 2"]
    annotation_ids: Int64[np.ndarray, " annotations"]
    annotation_places: Int64[np.ndarray, "annotations 2"]
    first: Int64[np.ndarray, " images+1"]
    _by_id: Int64[np.ndarray, " annotations"] = field(init=False)

    def __post_init__(self) -> None:
        self._by_id = np.argsort(self.annotation_ids, kind="stable")

    def __len__(self) -> int:
        return len(self.image_ids)

    def image(self, index: int) -> dict[str, Any]:
        """Read the record of an image."""
        record: dict[str, Any] = read_records(self.path, [self.image_places[index]])[0]
        return record

    def annotations(self, index: int) -> list[dict[str, Any]]:
        """Read the records of an image's annotations."""
        places = self.annotation_places[self.first[index] : self.first[index + 1]]
        return read_records(self.path, places)

    def find(self, ids: list[int]) -> list[dict[str, Any] | None]:
        """Read annotations by their ids; None for an id that does not exist."""
        if not len(self._by_id):
            return [None] * len(ids)
        at = np.searchsorted(self.annotation_ids, ids, sorter=self._by_id)
        rows = self._by_id[np.minimum(at, len(self._by_id) - 1)]
        known = self.annotation_ids[rows] == np.asarray(ids)
        found = iter(read_records(self.path, self.annotation_places[rows[known]]))
        return [next(found) if there else None for there in known]


@dataclass(slots=True)
class _Parts:
    """What one pass over the file gathers."""

    images: dict[int | str, int] = field(default_factory=dict)
    image_places: list[tuple[int, int]] = field(default_factory=list)
    owners: list[int | str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    places: list[tuple[int, int]] = field(default_factory=list)
    categories: dict[int, dict[str, Any]] = field(default_factory=dict)


def index_coco(path: Path, report: ReadReport) -> CocoIndex:
    """Find every record of a COCO file in one pass.

    Args:
        path: The file.
        report: Counts what is left out: records without ids, ids that are used twice, annotations
            of images that the file does not list, and what is cut off at its end.

    Returns:
        The index.

    Raises:
        InputError: The file cannot be read, or lists no image.
    """
    parts = _Parts()
    try:
        for record in walk(path, _KEYS):
            _take(record, parts, path, report)
    except RecordError as error:
        report.skip(error.kind, str(error))
        if not parts.images:
            raise InputError(str(error)) from error
    if not parts.images:
        raise InputError(f"{path} lists no image: is it a COCO file with a list under 'images'?")
    return _sorted(path, parts, report)


def _take(record: JsonRecord, parts: _Parts, path: Path, report: ReadReport) -> None:
    where = f"{path}, {record.key} {record.number}"
    value = record.value
    if not isinstance(value, dict):
        report.skip("bad record", f"{where}: an object is expected, not {type(value).__name__}")
        return
    number = value.get("id")
    if record.key == "images":
        if not isinstance(number, int | str):
            report.skip("bad record", f"{where}: it has no 'id'")
        elif number in parts.images:
            report.skip("duplicate id", f"{where}: the image id {number!r} was there before")
        else:
            parts.images[number] = len(parts.images)
            parts.image_places.append((record.start, record.end))
    elif record.key == "categories":
        _take_category(value, parts, where, report)
    else:
        _take_annotation(record, parts, where, report)


def _take_category(value: dict[str, Any], parts: _Parts, where: str, report: ReadReport) -> None:
    number, name = value.get("id"), value.get("name")
    if not isinstance(number, int) or not isinstance(name, str):
        report.skip("bad record", f"{where}: a category has an 'id' and a 'name'")
    elif number in parts.categories:
        report.skip("duplicate id", f"{where}: the category id {number} was there before")
    else:
        parts.categories[number] = value


def _take_annotation(record: JsonRecord, parts: _Parts, where: str, report: ReadReport) -> None:
    owner, number = record.value.get("image_id"), record.value.get("id", -1 - record.number)
    if not isinstance(owner, int | str) or not isinstance(number, int):
        report.skip("bad record", f"{where}: an annotation has an 'id' and an 'image_id'")
    elif number in parts.seen:
        report.skip("duplicate id", f"{where}: the annotation id {number} was there before")
    else:
        parts.seen.add(number)
        parts.ids.append(number)
        parts.owners.append(owner)
        parts.places.append((record.start, record.end))


def _sorted(path: Path, parts: _Parts, report: ReadReport) -> CocoIndex:
    owners = np.array([parts.images.get(owner, -1) for owner in parts.owners], dtype=np.int64)
    for at in np.flatnonzero(owners < 0).tolist():
        report.skip(
            "unknown image id",
            f"{path}, annotation {parts.ids[at]}: no image has the id {parts.owners[at]!r}",
        )
    order = np.argsort(owners, kind="stable")[int(np.count_nonzero(owners < 0)) :]
    return CocoIndex(
        path=path,
        image_ids=list(parts.images),
        categories=parts.categories,
        image_places=np.array(parts.image_places, dtype=np.int64).reshape(-1, 2),
        annotation_ids=np.array(parts.ids, dtype=np.int64)[order],
        annotation_places=np.array(parts.places, dtype=np.int64).reshape(-1, 2)[order],
        first=np.searchsorted(owners[order], np.arange(len(parts.images) + 1)).astype(np.int64),
    )
