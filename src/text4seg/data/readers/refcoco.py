"""refCOCO, refCOCO+, refCOCOg and RefCLEF: `refs(*).p` beside `instances.json`.

The pickle is a list of `{"ref_id", "ann_id", "image_id", "split", "sentences": [{"sent"}]}`. It
holds plain values; a pickle that asks to import anything is refused, since it could run code.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from text4seg.core.errors import InputError
from text4seg.core.types import Box, Size
from text4seg.data.coco_index import CocoIndex, index_coco
from text4seg.data.coco_records import image_of, region_of
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import MaskSource, join_masks
from text4seg.data.reports import ReadReport, RecordError

LAYOUT = """\
ROOT/{name}/
  refs({by}).p          which annotation each sentence refers to, and its split
  instances.json        COCO: images, annotations, categories
IMAGES/<file_name>      --images; by default ROOT/images/{images} or ROOT/{images}
"""
_OPTIONS = {"by": "Who made the split: the word in the brackets of refs(…).p."}


@dataclass(frozen=True, slots=True)
class Ref:
    """Sentences that refer to the same annotations; none where nothing is meant."""

    number: str
    annotations: tuple[int, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefDataset:
    """Images with the sentences of one split."""

    name: str
    split: str
    index: CocoIndex
    images: Path
    refs: tuple[tuple[int, tuple[Ref, ...]], ...]
    file: Path
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.refs)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with all sentences about it."""
        at, refs = self.refs[index]
        image = self.index.image(at)
        path, size = image_of(image, self.images, self.index.path)
        targets: list[ReferringTarget] = []
        for ref in refs:
            where = f"{self.file}, ref {ref.number}"
            try:
                targets += self._sentences(ref, size, where)
            except RecordError as error:
                report.skip(error.kind, f"{where}: {error}")
        return Sample(path, tuple(targets), size, str(image["id"]), self.name, self.split)

    def _sentences(self, ref: Ref, size: Size, where: str) -> list[ReferringTarget]:
        found = self.index.find(list(ref.annotations)) if ref.annotations else []
        regions: list[MaskSource] = []
        for number, annotation in zip(ref.annotations, found, strict=True):
            if annotation is None:
                raise RecordError("unknown annotation id", f"no annotation has the id {number}")
            regions.append(region_of(annotation.get("segmentation"), size))
        single = found[0] if len(found) == 1 else None
        return [
            ReferringTarget(
                sentence,
                join_masks(regions) if regions else None,
                f"{self.name} {self.split}",
                where,
                category=self._category(single) if single else "",
                box=_box(single) if single else None,
                ids=tuple(map(str, ref.annotations)),
            )
            for sentence in ref.sentences
        ]

    def _category(self, annotation: dict[str, Any]) -> str:
        category = self.index.categories.get(annotation.get("category_id", -1))
        return plain_name(str(category["name"])) if category else ""


def _box(annotation: dict[str, Any]) -> Box | None:
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except (KeyError, TypeError, ValueError):
        return None
    return Box(x, y, x + width, y + height)


class _Plain(pickle.Unpickler):
    """Reads numbers, texts, lists, tuples, sets and dictionaries, and imports nothing."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        raise RecordError(
            "unsafe pickle", f"it asks to import {module}.{name}, and plain values need none"
        )


def load_plain_pickle(path: Path) -> Any:
    """Read the plain values of a pickle; raises `InputError` for anything else."""
    try:
        with path.open("rb") as file:
            return _Plain(file, encoding="latin1").load()
    except RecordError as error:
        raise InputError(f"{path} is refused: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    # What damaged pickles raise is not documented beyond these, which have been seen.
    except (
        pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError,
        AttributeError, OverflowError, MemoryError, UnicodeDecodeError,
    ) as error:  # fmt: skip
        raise InputError(f"{path} is no pickle that can be read: {error}") from error


def group_refs(
    records: Any, split: str, index: CocoIndex, file: Path, report: ReadReport
) -> tuple[tuple[int, tuple[Ref, ...]], ...]:
    """Group the refs of a split by image, in the order of their first appearance."""
    if not isinstance(records, list):
        raise InputError(f"{file} holds {type(records).__name__}, and a list of refs is expected")
    known = {number: at for at, number in enumerate(index.image_ids)}
    groups: dict[int, list[Ref]] = {}
    splits: set[str] = set()
    for number, record in enumerate(records):
        try:
            splits.add(str(record["split"]))
            if record["split"] == split:
                ref = _ref(record)
                groups.setdefault(known[record["image_id"]], []).append(ref)
        except KeyError as error:
            report.skip("bad record", f"{file}, ref {number}: no {error} or no image of this id")
        except (TypeError, ValueError) as error:
            report.skip("bad record", f"{file}, ref {number}: {error}")
    if not groups:
        raise InputError(f"{file} has no split {split!r}; it has {', '.join(sorted(splits))}")
    return tuple((at, tuple(refs)) for at, refs in groups.items())


def _ref(record: dict[str, Any]) -> Ref:
    numbers = record["ann_id"]
    numbers = numbers if isinstance(numbers, list | tuple) else [numbers]
    numbers = [] if record.get("no_target") else [int(one) for one in numbers if int(one) >= 0]
    sentences = tuple(str(one["sent"]) for one in _dicts(record["sentences"]))
    return Ref(str(record["ref_id"]), tuple(numbers), sentences)


def _dicts(values: Iterable[Any]) -> list[dict[str, Any]]:
    found = list(values)
    if not all(isinstance(one, dict) for one in found):
        raise ValueError("'sentences' is a list of objects")
    return found


def _open(source: Source, name: str, by: str, images: str) -> RefDataset:
    folder = source.root / name if (source.root / name).is_dir() else source.root
    file = folder / f"refs({source.options.get('by', by)}).p"
    instances = folder / "instances.json"
    for path in (file, instances):
        if not path.is_file():
            found = ", ".join(sorted(one.name for one in folder.glob("refs(*).p")))
            raise LayoutError(f"there is no file {path} ({folder} has {found or 'no refs(…).p'})")
    split = source.split or "train"
    records = load_plain_pickle(file)
    index = index_coco(instances, source.report)
    refs = group_refs(records, split, index, file, source.report)
    usual = [one / part / images for one in (folder.parent, folder) for part in ("images", "")]
    return RefDataset(name, split, index, source.find_images(folder, tuple(usual)), refs, file)


def _reader(name: str, summary: str, by: str, splits: tuple[str, ...], images: str) -> Reader:
    return Reader(
        name=name,
        summary=summary,
        layout=LAYOUT.format(name=name, by=by, images=images),
        open=lambda source: _open(source, name, by, images),
        splits=splits,
        options=_OPTIONS,
    )


_COCO = "mscoco/images/train2014"
_AB = ("train", "val", "testA", "testB")
REFCOCO = _reader("refcoco", "refCOCO: 142,209 sentences on COCO images", "unc", _AB, _COCO)
REFCOCO_PLUS = _reader("refcoco+", "refCOCO+: sentences without positions", "unc", _AB, _COCO)
REFCOCOG = _reader("refcocog", "refCOCOg: longer sentences", "umd", ("train", "val", "test"), _COCO)
REFCLEF = _reader(
    "refclef",
    "RefCLEF: 130,525 sentences on SAIAPR TC-12 images",
    "unc",
    ("train", "val", "test", "testA", "testB", "testC"),
    "saiapr_tc-12",
)
