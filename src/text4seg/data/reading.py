"""Reading any data set by the name of its layout: checked, filtered, one image after the other.

dataset = read_dataset("refcoco", "refer/data", split="val", images="train2014")
for sample in reading:
    ...
print(reading.report.skipped)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from text4seg.core.errors import InputError, LabelError, UnknownNameError
from text4seg.core.types import clean_label
from text4seg.data.checks import check_image, check_region
from text4seg.data.interface import ReferringTarget, Sample
from text4seg.data.mask_sources import MaskUnion, join
from text4seg.data.reports import ReadReport, RecordError


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a data set is wanted, and how strictly it is read.

    Attributes:
        classes: Keep only expressions of these classes (or, without a class, of these words).
        min_area: Keep only masks of so many pixels; below 1, of such a share of the image.
        limit: Stop after so many images.
        strict: The first wrong record is an error; otherwise it is skipped and reported.
        check_images: Look at the header of each image: is it there, is it a picture, is it as
            large as its masks? False believes the annotations, and touches no image.
    """

    classes: tuple[str, ...] | None = None
    min_area: float = 0.0
    limit: int | None = None
    strict: bool = False
    check_images: bool = True


class Dataset(Protocol):
    """An opened data set: images by number. It is picklable, and keeps only an index in memory."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that its annotators looked for; empty where expressions are free."""

    def __len__(self) -> int:
        """How many images there are."""

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image; wrong expressions go to `report`, a wrong image raises `RecordError`."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set lies and which part of it is wanted.

    Attributes:
        root: The folder or file of the annotations.
        images: The folder of the images, where it was given.
        split: The part of the data set, where it was given.
        options: The reader's own options.
        report: Told of what is wrong while the data set is opened.
    """

    root: Path
    images: Path | None
    split: str | None
    options: Mapping[str, str]
    report: ReadReport


@dataclass(frozen=True, slots=True)
class Reader:
    """One layout of a data set.

    Attributes:
        name: What it is called.
        what: One line on what it holds.
        layout: The files, as a tree.
        splits: The parts it may have; the first is the default. Empty: any name, or none.
        options: The reader's own options, each with what it is for.
        open: Opens a data set of this layout; raises `InputError`.
    """

    name: str
    what: str
    layout: str
    open: Callable[[Source], Dataset]
    splits: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class CheckedDataset:
    """A data set being read: iterate over it for samples, then look at its `report`.

    `source` tells what was opened, `opened` what was wrong before the first image.
    """

    dataset: Dataset
    selection: Selection
    report: ReadReport
    source: Mapping[str, Any] = field(default_factory=dict)
    opened: ReadReport = field(default_factory=ReadReport)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that the annotators looked for; empty where expressions are free."""
        return self.dataset.classes

    def __len__(self) -> int:
        """How many images the data set has, wanted or not."""
        return len(self.dataset)

    def __iter__(self) -> Iterator[Sample]:
        """The samples that are wanted, in the order of the data set."""
        given = 0
        for index in range(len(self.dataset)):
            if self.selection.limit is not None and given >= self.selection.limit:
                return
            sample = self.load(index, self.report)
            if sample is not None:
                given += 1
                yield sample

    def load(self, index: int, report: ReadReport) -> Sample | None:
        """One image with what is wanted of it, checked; None where nothing is left."""
        try:
            sample = self.dataset.load(index, report)
            if self.selection.check_images:
                sample = check_image(sample)
        except RecordError as error:
            report.skip(error.kind, str(error))
            return None
        asked = tuple(
            checked
            for one in sample.targets
            if (checked := _check(one, sample, self.selection, report)) is not None
        )
        if not asked:
            return None
        report.images += 1
        report.expressions += len(asked)
        return replace(sample, targets=asked)


def read_dataset(
    name: str,
    path: str | PathLike[str],
    *,
    split: str | None = None,
    images: str | PathLike[str] | None = None,
    selection: Selection | None = None,
    options: Mapping[str, str] | None = None,
) -> CheckedDataset:
    """Open a data set; iterating over the result reads it.

    Args:
        name: The layout, one of `READERS`.
        path: The folder or file of the annotations.
        split: The part of the data set; by default the reader's first.
        images: The folder of the images, where they do not lie in their usual place.
        selection: What is wanted; by default all of it, wrong records skipped.
        options: The reader's own options.

    Raises:
        UnknownNameError: No such layout, split or option.
        InputError: The data set cannot be opened; the message names the file.
    """
    from text4seg.data.registry import READERS

    if name not in READERS:
        raise UnknownNameError("data layout", name, READERS)
    reader = READERS[name]
    for key in options or {}:
        if key not in reader.options:
            raise UnknownNameError(f"option of {name}", key, reader.options)
    if reader.splits and split is not None and split not in reader.splits:
        raise UnknownNameError(f"split of {name}", split, reader.splits)
    wanted = selection or Selection()
    report = ReadReport(strict=wanted.strict)
    root = Path(path)
    if not root.exists():
        raise InputError(
            f"there is no file or folder {root}; {name} is laid out as\n{reader.layout}"
        )
    default = reader.splits[0] if reader.splits else None
    folder = None if images is None else Path(images)
    source = Source(root, folder, split or default, dict(options or {}), report)
    dataset = reader.open(source)
    told = {
        "reader": name,
        "path": str(root),
        "split": source.split,
        "images": None if folder is None else str(folder),
        "options": dict(source.options),
    }
    return CheckedDataset(dataset, wanted, report, told, ReadReport.from_json(report.to_json()))


def _check(
    asked: ReferringTarget, sample: Sample, selection: Selection, report: ReadReport
) -> ReferringTarget | None:
    """The expression as it can be used, or None where it is wrong or not wanted."""
    if (
        selection.classes is not None
        and (asked.category or asked.expression) not in selection.classes
    ):
        report.filter("another class")
        return None
    try:
        label, changes = clean_label(asked.expression)
    except LabelError as error:
        report.skip("bad label", f"{asked.source}: {error}")
        return None
    if changes:
        report.mend("label cleaned", f"{asked.source}: {', '.join(changes)}")
        asked = replace(asked, expression=label)
    if isinstance(asked.mask, MaskUnion) and asked.kind != "expression":
        whole = _whole_instances(asked, asked.mask, sample, report)
    else:
        whole = asked
    return whole if whole is None or _is_large(whole, sample, selection, report) else None


def _is_large(
    asked: ReferringTarget, sample: Sample, selection: Selection, report: ReadReport
) -> bool:
    """Whether the mask is right and as large as wanted; without a mask there is nothing to ask."""
    if asked.mask is None:
        return True
    try:
        area = check_region(asked.mask, sample.size, count=selection.min_area > 0)
    except RecordError as error:
        report.skip(error.kind, f"{asked.source}: {error}")
        return False
    least = (
        selection.min_area * asked.mask.size.pixels
        if selection.min_area < 1
        else selection.min_area
    )
    if area is not None and area < least:
        report.filter("below the least area")
        return False
    return True


def _whole_instances(
    asked: ReferringTarget, mask: MaskUnion, sample: Sample, report: ReadReport
) -> ReferringTarget | None:
    """A class without its wrong instances; None where none is left.

    Only of classes and parts: an expression that means several things is right or wrong as one.
    """
    ids = asked.ids if len(asked.ids) == len(mask.regions) else ()
    kept: list[int] = []
    for at, region in enumerate(mask.regions):
        try:
            check_region(region, sample.size, count=False)
            kept.append(at)
        except RecordError as error:
            which = ids[at] if ids else at
            report.skip(error.kind, f"{asked.source}, instance {which}: {error}")
    if not kept:
        return None
    if len(kept) == len(mask.regions):
        return asked
    left = join([mask.regions[at] for at in kept])
    return replace(asked, mask=left, ids=tuple(ids[at] for at in kept) if ids else ())
