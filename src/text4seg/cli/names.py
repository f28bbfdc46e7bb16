"""`text4seg evaluate --task semantic` and `--task instances`: every name asked of every image."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from text4seg.cli._console import log, print_json, progress
from text4seg.cli.measuring import print_table, processes
from text4seg.core.errors import InputError
from text4seg.core.files import write_atomically
from text4seg.core.types import label_fault
from text4seg.data import CheckedDataset, Sample
from text4seg.evaluation.image_journal import ImageJournal, each_image, read_images
from text4seg.evaluation.instances import ap_of_images, instances_image
from text4seg.evaluation.report import Table
from text4seg.evaluation.semantic import semantic_image, sum_confusions
from text4seg.segmenter import Segmenter

NAME_TASKS = ("semantic", "instances")


@dataclass(frozen=True, slots=True)
class NamesAsked:
    """What is asked: the task, the names (None: all of the data set), names a question."""

    task: str
    names: tuple[str, ...] | None
    together: int


def split_names(text: str | None) -> tuple[str, ...] | None:
    """Names with commas between them."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def evaluate_names(
    reading: CheckedDataset,
    asked: NamesAsked,
    settings: Mapping[str, Any],
    load: Callable[[], Segmenter],
    *,
    out: Path | None,
    as_json: bool,
) -> None:
    """Ask, judge, write and show.

    Raises:
        InputError: The data set has no classes, or not one that is asked for.
    """
    names = names_of(reading, asked.names)
    samples = list(reading)
    if not samples:
        raise InputError("the data set holds no image")
    kept = {**settings, **asdict(asked), "names": list(names)}
    with processes(out) as share:
        journal = None if out is None else ImageJournal.open(out, kept, process=share.process)
        work = _worker(load(), names, asked)
        with progress("images", len(samples)) as bar:
            results = each_image(
                samples, work, journal=journal, share=share, on_image=lambda: bar.advance(share.of)
            )
    if share.process > 0:
        return
    if out is not None:
        results = read_images(out, kept)
    report: dict[str, Any] = {**kept, "images": len(results)}
    if asked.task == "semantic":
        report |= sum_confusions(results.values(), names).to_json()
    else:
        report |= {"ap": ap_of_images(results, names), "classes": len(names)}
    tables = _tables(report)
    if out is not None:
        markdown = "\n\n".join(table.to_markdown() for table in tables) + "\n"
        write_atomically(out / "report.json", (json.dumps(report, indent=1) + "\n").encode())
        write_atomically(out / "report.md", markdown.encode())
        log(f"wrote {out / 'report.json'}, {out / 'report.md'}")
    if as_json:
        print_json(report)
        return
    for table in tables:
        print_table(table)


def names_of(reading: CheckedDataset, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names to ask for, all of them labels of the data set; raises `InputError`."""
    known = [name for name in reading.classes if not label_fault(name)]
    if not known:
        raise InputError(
            "the tasks semantic and instances need a data set with classes, as the layouts coco, "
            "panoptic and their like have them"
        )
    unknown = [name for name in wanted or () if name not in known]
    if unknown:
        raise InputError(f"the data set has no class {unknown[0]!r}; it has {', '.join(known)}")
    return tuple(dict.fromkeys(wanted or known))


def _worker(
    segmenter: Segmenter, names: tuple[str, ...], asked: NamesAsked
) -> Callable[[Sample], dict[str, Any]]:
    def semantic(sample: Sample) -> dict[str, Any]:
        return semantic_image(segmenter, sample, names, together=asked.together)

    return semantic if asked.task == "semantic" else partial(_instances, segmenter, names)


def _instances(segmenter: Segmenter, names: tuple[str, ...], sample: Sample) -> dict[str, Any]:
    return instances_image(segmenter, sample, names)


def _tables(report: Mapping[str, Any]) -> list[Table]:
    if report["task"] == "semantic":
        figures = [("mIoU", report["miou"]), ("pixel accuracy", report["pixel_accuracy"])]
        figures.append(("pixels that got no name", report["none_of_them"]))
        ious = tuple((name, _told(value)) for name, value in report["ious"].items())
        more = [Table("IoU of each name", ("name", "IoU"), ious)]
    else:
        figures = list(report["ap"].items())
        more = []
    rows = [("images", str(report["images"])), ("names", str(report["classes"]))]
    rows += [(name, _told(value)) for name, value in figures]
    return [Table("Figures", ("", ""), tuple(rows)), *more]


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
