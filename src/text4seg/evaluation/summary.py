"""The figures of a set of score records, their intervals, and how tables write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from text4seg.evaluation.records import ScoreRecord
from text4seg.metrics import FIGURES, PRECISION_THRESHOLDS, Interval, ratio, ratio_intervals

LARGE_CELLS = 13
"""From so many true cells on an object is large enough for the coarse grid to show its shape."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a set; None where there is nothing to average.

    Attributes:
        questions: How many there were.
        present: How many of them mean something that is in the image.
        absent: How many mean something that is not.
        grid_iou: Mean IoU of cells over present things.
        pixel_iou: The same in pixels: mIoU.
        large: How many present things have 13 true cells and more.
        large_grid_iou: Mean IoU of cells over those.
        large_pixel_iou: The same in pixels.
        miss_rate: Share of present things that were answered empty: 1 - T-acc.
        n_acc: Share of absent things that were answered empty: N-acc.
        strict: Share of texts that were read as they stand.
        salvaged: Share that had to be repaired.
        unparsable: Share of which nothing could be read.
        tokens: Mean tokens of a mask text.
        passes: Mean forward passes of an answer.
        seconds: Mean wall time of an answer.
        oracle_iou: Mean IoU in pixels that the grid allows, over present things.
        ciou: All intersections over all unions, in pixels.
        giou: Mean IoU in pixels; an absent thing counts 1 if answered empty, else 0.
        precision: Share of present things with an IoU of at least 0.5, 0.6, 0.7, 0.8, 0.9.
        box_acc: Share of present things whose box has an IoU of at least 0.5.
        boundary_f: Mean F of the outlines of present things.
    """

    questions: int
    present: int
    absent: int
    grid_iou: float | None
    pixel_iou: float | None
    large: int
    large_grid_iou: float | None
    large_pixel_iou: float | None
    miss_rate: float | None
    n_acc: float | None
    strict: float | None
    salvaged: float | None
    unparsable: float | None
    tokens: float | None
    passes: float | None
    seconds: float | None
    oracle_iou: float | None = None
    ciou: float | None = None
    giou: float | None = None
    precision: tuple[float | None, ...] = ()
    box_acc: float | None = None
    boundary_f: float | None = None

    @property
    def t_acc(self) -> float | None:
        """GRefCOCO's T-acc: 1 - `miss_rate`."""
        return None if self.miss_rate is None else 1 - self.miss_rate

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Summary:
        """Read the summary of a report, also of one that had fewer or more figures.

        Args:
            record: A value of `sets` in a report.

        Returns:
            The summary.
        """
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})


def summarize(records: Sequence[ScoreRecord], *, empty_below: int = 1) -> dict[str, Summary]:
    """Compute the figures of every set.

    Args:
        records: The score records.
        empty_below: An answer of fewer pixels counts as empty.

    Returns:
        The figures by set, in order of appearance, and of `all` where there are several.
    """
    groups = by_set(records)
    return {name: summarize_set(group, empty_below=empty_below) for name, group in groups.items()}


def by_set(records: Sequence[ScoreRecord]) -> dict[str, list[ScoreRecord]]:
    """The records of every set in order of appearance, and of `all` where there are several."""
    groups: dict[str, list[ScoreRecord]] = {}
    for record in records:
        groups.setdefault(record.truth.set, []).append(record)
    if len(groups) > 1 and "all" not in groups:
        groups["all"] = list(records)
    return groups


def summarize_set(records: Sequence[ScoreRecord], *, empty_below: int = 1) -> Summary:
    """The figures of some records, of which there is at least one."""
    present = [record for record in records if record.present]
    absent = [record for record in records if not record.present]
    large = [record for record in present if record.cells and record.cells.target >= LARGE_CELLS]
    texts = [record for record in records if record.prediction.validity is not None]

    def figure(name: str, some: Sequence[ScoreRecord]) -> float | None:
        value = ratio((record.pixels for record in some), FIGURES[name], empty_below=empty_below)
        return None if np.isnan(value) else value

    def share(validity: str) -> float | None:
        return _mean(record.prediction.validity == validity for record in texts)

    found = figure("t_acc", present)
    return Summary(
        questions=len(records),
        present=len(present),
        absent=len(absent),
        grid_iou=_mean(record.cells.iou for record in present if record.cells),
        pixel_iou=figure("giou", present),
        large=len(large),
        large_grid_iou=_mean(record.cells.iou for record in large if record.cells),
        large_pixel_iou=figure("giou", large),
        miss_rate=None if found is None else 1 - found,
        n_acc=figure("n_acc", absent),
        strict=share("strict"),
        salvaged=share("salvaged"),
        unparsable=share("unparsable"),
        tokens=_mean(record.prediction.tokens for record in records),
        passes=_mean(record.prediction.passes for record in records),
        seconds=_mean(record.prediction.seconds for record in records),
        oracle_iou=_mean(record.oracle for record in present),
        ciou=figure("ciou", records),
        giou=figure("giou", records),
        precision=tuple(figure(f"precision_at_{x:g}", present) for x in PRECISION_THRESHOLDS),
        box_acc=_mean(
            None if record.box_iou is None else record.box_iou >= 0.5 for record in present
        ),
        boundary_f=_mean(record.boundary for record in present),
    )


Part = Callable[[ScoreRecord, int], tuple[float, float]]
"""A record's share of a figure's numerator and denominator, given `empty_below`."""


def _of_pixels(name: str, *, of_present: bool) -> Part:
    figure = FIGURES[name]

    def part(record: ScoreRecord, empty_below: int) -> tuple[float, float]:
        if of_present and not record.present:
            return 0.0, 0.0
        return figure(record.pixels.emptied(empty_below))

    return part


def _of_value(value: Callable[[ScoreRecord], float | None]) -> Part:
    def part(record: ScoreRecord, empty_below: int) -> tuple[float, float]:
        del empty_below
        number = value(record) if record.present else None
        return (0.0, 0.0) if number is None else (float(number), 1.0)

    return part


COMPARED: Mapping[str, Part] = {
    "pixel_iou": _of_pixels("giou", of_present=True),
    "ciou": _of_pixels("ciou", of_present=False),
    "giou": _of_pixels("giou", of_present=False),
    "precision_at_0.5": _of_pixels("precision_at_0.5", of_present=True),
    "grid_iou": _of_value(lambda record: record.cells.iou if record.cells else None),
    "box_acc": _of_value(lambda record: None if record.box_iou is None else record.box_iou >= 0.5),
    "n_acc": _of_pixels("n_acc", of_present=False),
    "t_acc": _of_pixels("t_acc", of_present=False),
}
"""Figures that get an interval and are compared between models."""


def parts_of(records: Sequence[ScoreRecord], empty_below: int) -> np.ndarray:
    """For each record and each of `COMPARED`, its part of numerator and denominator."""
    parts = [[part(record, empty_below) for part in COMPARED.values()] for record in records]
    return np.asarray(parts, dtype=np.float64).reshape(len(records), len(COMPARED), 2)


def intervals_of(records: Sequence[ScoreRecord], *, empty_below: int = 1) -> dict[str, Interval]:
    """Compute the figures of `COMPARED` with bootstrap intervals over images.

    Args:
        records: The score records.
        empty_below: An answer of fewer pixels counts as empty.

    Returns:
        The intervals by figure, without figures over nothing; empty for a single image, whose
        resamples are all alike.
    """
    images = [record.truth.image for record in records]
    if len(set(images)) < 2:
        return {}
    found = ratio_intervals(parts_of(records, empty_below), images)
    named = zip(COMPARED, found, strict=True)
    return {name: interval for name, interval in named if not np.isnan(interval.value)}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"


def three(value: float) -> str:
    """A share with three digits, as papers write IoU."""
    return f"{value:.3f}".removeprefix("0")


COLUMNS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "questions": ("questions", str),
    "grid_iou": ("IoU, grid", three),
    "pixel_iou": ("IoU, pixels", three),
    "large_grid_iou": (f"IoU, grid, ≥ {LARGE_CELLS} cells", three),
    "large_pixel_iou": (f"IoU, pixels, ≥ {LARGE_CELLS} cells", three),
    "oracle_iou": ("IoU, pixels, that the grid allows", three),
    "ciou": ("cIoU", three),
    "giou": ("gIoU", three),
    "precision": ("Pr@0.5 … 0.9", lambda values: " ".join(map(three, values)) or "–"),
    "box_acc": ("box Acc@0.5", percent),
    "boundary_f": ("boundary F", three),
    "t_acc": ("T-acc", percent),
    "n_acc": ("N-acc", percent),
    "strict": ("strictly valid", percent),
    "salvaged": ("salvaged", percent),
    "unparsable": ("unparsable", percent),
    "tokens": ("tokens", "{:.0f}".format),
    "passes": ("passes", "{:.1f}".format),
    "seconds": ("seconds", "{:.2f}".format),
}
"""What a table shows: the attribute of a summary, its heading and how it is written."""


def to_cells(summary: Summary) -> dict[str, str]:
    """The figures of a set as a table writes them; – where there is nothing to average."""
    cells = {}
    for key, (_, write) in COLUMNS.items():
        value = getattr(summary, key)
        if isinstance(value, tuple | list):
            value = [number for number in value if number is not None]
        cells[key] = "–" if value is None else write(value)
    return cells
