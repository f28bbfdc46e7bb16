"""Reading any data set by the name of its layout: checked, filtered, one image after the other.

dataset = read_dataset("refcoco", "refer/data", split="val", images="train2014")
for sample in dataset:
    ...
print(dataset.report.skipped)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, LabelError, UnknownNameError
from text4seg.core.types import clean_label
from text4seg.data.checks import check_image, check_mask
from text4seg.data.interface import (
    Dataset,
    LayoutError,
    Reader,
    ReferringTarget,
    Sample,
    Source,
)
from text4seg.data.mask_sources import MaskSource, join_masks
from text4seg.data.readers import READERS
from text4seg.data.reports import ReadReport, RecordError


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a data set is wanted, and how strictly it is read.

    Attributes:
        classes: Keep only targets of these classes (of these words, where there is no class).
        min_area: Keep only masks of at least this many pixels; below 1, this share of the image.
        limit: Stop after this many images.
        strict: Whether the first wrong record is an error; otherwise it is skipped and counted.
        check_images: Whether to read the header of each image and compare its size with the
            annotations. False trusts the annotations and touches no image.
    """

    classes: tuple[str, ...] | None = None
    min_area: float = 0.0
    limit: int | None = None
    strict: bool = False
    check_images: bool = True


@dataclass(slots=True)
class CheckedDataset:
    """A data set whose samples are checked and filtered as they are read.

    Iterate over it for samples, then look at its `report`.

    Attributes:
        dataset: The data set as its reader opened it.
        selection: What of it is wanted.
        report: What was read, skipped and filtered so far.
        source: What was opened: `reader`, `path`, `split`, `images` and `options`.
        opened: The faults that were found before the first image.
    """

    dataset: Dataset
    selection: Selection
    report: ReadReport
    source: Mapping[str, Any] = field(default_factory=dict)
    opened: ReadReport = field(default_factory=ReadReport)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that the annotators looked for; empty for free expressions."""
        return self.dataset.classes

    def __len__(self) -> int:
        """Count all images, wanted or not."""
        return len(self.dataset)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the wanted samples in the order of the data set."""
        given = 0
        for index in range(len(self.dataset)):
            if self.selection.limit is not None and given >= self.selection.limit:
                return
            sample = self.load(index, self.report)
            if sample is not None:
                given += 1
                yield sample

    def load(self, index: int, report: ReadReport) -> Sample | None:
        """Read one image.

        Args:
            index: From 0 to the number of images.
            report: Where its faults and targets are counted.

        Returns:
            The checked sample with the wanted targets, or None where none is left.

        Raises:
            RecordError: Reading is strict and a record is wrong.
        """
        try:
            sample = self.dataset.load(index, report)
            if self.selection.check_images:
                sample = check_image(sample)
        except RecordError as error:
            report.skip(error.kind, str(error))
            return None
        found = (_select(one, sample, self.selection, report) for one in sample.targets)
        targets = tuple(one for one in found if one is not None)
        if not targets:
            return None
        report.images += 1
        report.expressions += len(targets)
        return replace(sample, targets=targets)


def read_dataset(
    layout: str,
    path: str | PathLike[str],
    *,
    images: str | PathLike[str] | None = None,
    split: str | None = None,
    selection: Selection | None = None,
    options: Mapping[str, str] | None = None,
) -> CheckedDataset:
    """Open a data set; iterating over the result reads it.

    Args:
        layout: The name of its layout, one of `READERS`.
        path: The folder or file of the annotations.
        images: The folder of the images, where they are not in their usual place.
        split: The part of the data set; by default the reader's first.
        selection: What is wanted; by default everything, with wrong records skipped.
        options: The reader's own options.

    Returns:
        The opened data set. It has read an index, but no image and no mask.

    Raises:
        UnknownNameError: There is no such layout, split or option.
        InputError: The data set cannot be opened; the message names the file.
    """
    reader = READERS[layout]
    _check_names(reader, split, options or {})
    wanted = selection or Selection()
    report = ReadReport(strict=wanted.strict)
    folder = None if images is None else Path(images)
    default = reader.splits[0] if reader.splits else None
    source = Source(Path(path), folder, split or default, dict(options or {}), report)
    try:
        dataset = _open(reader, source)
    except LayoutError as error:
        raise InputError(f"{error}; {layout} is laid out as\n{reader.layout}") from error
    opened = {
        "reader": layout,
        "path": str(source.root),
        "split": source.split,
        "images": None if folder is None else str(folder),
        "options": dict(source.options),
    }
    return CheckedDataset(dataset, wanted, report, opened, ReadReport.from_json(report.to_json()))


def _open(reader: Reader, source: Source) -> Dataset:
    if not source.root.exists():
        raise LayoutError(f"there is no file or folder {source.root}")
    return reader.open(source)


def _check_names(reader: Reader, split: str | None, options: Mapping[str, str]) -> None:
    for key in options:
        if key not in reader.options:
            raise UnknownNameError(f"option of {reader.name}", key, reader.options)
    if reader.splits and split is not None and split not in reader.splits:
        raise UnknownNameError(f"split of {reader.name}", split, reader.splits)


def _select(
    target: ReferringTarget, sample: Sample, selection: Selection, report: ReadReport
) -> ReferringTarget | None:
    """The target as it can be used, or None where it is wrong or not wanted."""
    wanted = selection.classes
    if wanted is not None and (target.category or target.expression) not in wanted:
        report.filter("another class")
        return None
    try:
        label, changes = clean_label(target.expression)
    except LabelError as error:
        report.skip("bad label", f"{target.source}: {error}")
        return None
    if changes:
        report.mend("label cleaned", f"{target.source}: {', '.join(changes)}")
        target = replace(target, expression=label)
    parts = () if target.mask is None else target.mask.parts
    # An expression that means several things is right or wrong as a whole; a class is not.
    if target.kind != "expression" and len(parts) > 1:
        kept = _drop_wrong_instances(target, parts, sample, report)
    else:
        kept = target
    return kept if kept is None or _is_large(kept, sample, selection, report) else None


def _is_large(
    target: ReferringTarget, sample: Sample, selection: Selection, report: ReadReport
) -> bool:
    """Whether the mask is right and as large as wanted; no mask at all is right too."""
    mask = target.mask
    if mask is None:
        return True
    least = selection.min_area * (mask.size.pixels if selection.min_area < 1 else 1)
    try:
        area = check_mask(mask, sample.size, count=least > 0)
    except RecordError as error:
        report.skip(error.kind, f"{target.source}: {error}")
        return False
    if area is not None and area < least:
        report.filter("below the least area")
        return False
    return True


def _drop_wrong_instances(
    target: ReferringTarget, parts: tuple[MaskSource, ...], sample: Sample, report: ReadReport
) -> ReferringTarget | None:
    """The class without its wrong instances; None where none is left."""
    ids = target.ids if len(target.ids) == len(parts) else ()
    kept: list[int] = []
    for at, part in enumerate(parts):
        try:
            check_mask(part, sample.size, count=False)
            kept.append(at)
        except RecordError as error:
            which = ids[at] if ids else at
            report.skip(error.kind, f"{target.source}, instance {which}: {error}")
    if not kept:
        return None
    if len(kept) == len(parts):
        return target
    left = join_masks([parts[at] for at in kept])
    return replace(target, mask=left, ids=tuple(ids[at] for at in kept) if ids else ())
