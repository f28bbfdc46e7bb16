"""The report of an evaluation: figures, errors and groups, as plain values and as Markdown."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from text4seg.core.errors import UnknownNameError
from text4seg.evaluation.groups import (
    MEANINGS,
    VERDICTS,
    by_position,
    by_size,
    error_split,
)
from text4seg.evaluation.records import ScoreRecord
from text4seg.evaluation.summary import (
    COLUMNS,
    Summary,
    by_set,
    intervals_of,
    percent,
    summarize,
    summarize_set,
    three,
    to_cells,
)
from text4seg.metrics import GREFCOCO_EMPTY_BELOW

Task = Literal["res", "gres", "rec"]
TASKS: tuple[Task, ...] = get_args(Task)

HEADLINES: Mapping[Task, tuple[str, ...]] = {
    "res": ("ciou", "pixel_iou", "precision", "grid_iou", "oracle_iou"),
    "gres": ("giou", "ciou", "n_acc", "t_acc", "grid_iou", "oracle_iou"),
    "rec": ("box_acc", "pixel_iou", "ciou"),
}
"""What a task is judged by; it comes first in tables."""

_GROUPS = (
    ("by_size", "By size", "Size is the share of the image that is meant; absent things left out."),
    ("by_position", "By position words", "An expression may use words of several groups."),
)
_SHORT = ("questions", "grid_iou", "pixel_iou", "oracle_iou", "t_acc", "n_acc")


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What an evaluation measures.

    Attributes:
        task: What it is judged by: `res` (referring segmentation), `gres` (targets may be absent)
            or `rec` (boxes).
        empty_below: An answer of fewer pixels counts as empty; None is the task's own: 50 for
            `gres`, as in gRefCOCO's evaluation, else 1.
        boundary: Measure boundary F too.
        limit: Only the first so many targets.
        root: The folder from which records name images.

    Raises:
        UnknownNameError: There is no such task.
    """

    task: Task = "res"
    empty_below: int | None = None
    boundary: bool = False
    limit: int | None = None
    root: Path | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UnknownNameError("task", self.task, TASKS)

    @property
    def least_pixels(self) -> int:
        """From so many pixels on an answer is not empty."""
        return self.empty_below or (GREFCOCO_EMPTY_BELOW if self.task == "gres" else 1)


@dataclass(frozen=True, eq=False)
class Report:
    """The figures of some score records.

    Attributes:
        records: The records.
        options: What was measured.
        run: Everything else that was run, as plain values: model, data, grid, …
    """

    records: Sequence[ScoreRecord]
    options: EvaluationOptions = field(default_factory=EvaluationOptions)
    run: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """The figures of every set, and of `all` where there are several."""
        return summarize(self.records, empty_below=self.options.least_pixels)

    def to_json(self) -> dict[str, Any]:
        """Give the whole report as plain values.

        Returns:
            The settings; `sets`, the figures of each set; `intervals`, bootstrap intervals of
            figures; `errors`, counts of each verdict; figures `by_size` and `by_position`.
        """
        return self._record

    @cached_property
    def _record(self) -> dict[str, Any]:
        below = self.options.least_pixels
        sets = by_set(self.records)
        return {
            **self.run,
            "task": self.options.task,
            "empty_below": below,
            "versions": versions(),
            "sets": {name: asdict(summary) for name, summary in self.summaries.items()},
            "intervals": {
                name: {
                    figure: [found.low, found.high]
                    for figure, found in intervals_of(group, empty_below=below).items()
                }
                for name, group in sets.items()
            },
            "errors": {name: error_split(group, empty_below=below) for name, group in sets.items()},
            "by_size": _figures(by_size(self.records), below),
            "by_position": _figures(by_position(self.records), below),
        }

    def tables(self) -> list[Table]:
        """Give the report as tables.

        Returns:
            Figures by set, errors, figures by size of the target and by position words.
        """
        report = self._record
        found = [_by_set(report), _errors(report)]
        for key, title, note in _GROUPS:
            if report[key]:
                found.append(_short(title, report[key], note))
        return found

    @property
    def title(self) -> str:
        """One line that names what was measured."""
        return f"{self.run.get('model', 'predictions')} on {self.run.get('data', 'a data set')}"

    @property
    def settings(self) -> list[str]:
        """What was run, one setting a line."""
        report = self._record
        hidden = {"sets", "intervals", "errors", "by_size", "by_position", "versions"}
        lines = [f"{key}: {value}" for key, value in report.items() if key not in hidden]
        listed = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        return [*lines, f"versions: {listed}"]

    def to_markdown(self) -> str:
        """Give the report as Markdown.

        Returns:
            The settings and the tables.
        """
        lines = [f"# {self.title}", "", *(f"- {line}" for line in self.settings), ""]
        return "\n".join(lines) + tables_to_markdown(self.tables())


def _figures(
    groups: Mapping[str, Sequence[ScoreRecord]], empty_below: int
) -> dict[str, dict[str, Any]]:
    return {
        name: asdict(summarize_set(group, empty_below=empty_below))
        for name, group in groups.items()
    }


def versions() -> dict[str, str]:
    """The versions of what decides the numbers."""
    from text4seg import __version__

    found = {"text4seg": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers", "llguidance", "numpy", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Table:
    """A table to be written in any form; `rows` have as many cells as there are headings."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def to_markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"| {' | '.join(self.headings)} |", "|---" * len(self.headings) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([f"## {self.title}", "", *lines, *(["", self.note] if self.note else [])])


def tables_to_markdown(tables: Sequence[Table]) -> str:
    """Some tables as one piece of Markdown."""
    return "\n\n".join(table.to_markdown() for table in tables) + "\n"


def ordered_columns(task: Task) -> list[str]:
    """All figures, those that the task is judged by first."""
    first = ["questions", *HEADLINES[task]]
    return first + [key for key in COLUMNS if key not in first]


def _by_set(report: Mapping[str, Any]) -> Table:
    sets = {name: to_cells(Summary.from_json(one)) for name, one in report["sets"].items()}
    rows = []
    for key in ordered_columns(report["task"]):
        values = [cells[key] for cells in sets.values()]
        if all(value == "–" for value in values):
            continue
        intervals = [_interval(report, name, key) for name in sets]
        shown = [f"{value} {extra}".strip() for value, extra in zip(values, intervals, strict=True)]
        rows.append((COLUMNS[key][0], *shown))
    note = "In brackets: 95 % bootstrap intervals over images." if report["intervals"] else ""
    return Table("Figures", ("", *sets), tuple(rows), note)


def _interval(report: Mapping[str, Any], name: str, key: str) -> str:
    found = report["intervals"].get(name, {})
    if key not in found:
        return ""
    low, high = found[key]
    if math.isnan(low) or math.isnan(high):
        return ""
    write = COLUMNS[key][1]
    if write is percent:
        return f"[{100 * low:.1f}, {100 * high:.1f}]"
    return f"[{three(low)}, {three(high)}]"


def _errors(report: Mapping[str, Any]) -> Table:
    splits = report["errors"]
    rows = []
    for kind in VERDICTS:
        cells = []
        for split in splits.values():
            total = sum(split.values())
            cells.append(f"{split[kind]} ({percent(split[kind] / total)})")
        rows.append((kind, *cells, MEANINGS[kind]))
    return Table("Errors", ("", *splits, "what"), tuple(rows))


def _short(title: str, groups: Mapping[str, Mapping[str, Any]], note: str) -> Table:
    rows = []
    for name, figures in groups.items():
        cells = to_cells(Summary.from_json(figures))
        rows.append((name, *(cells[key] for key in _SHORT)))
    headings = ("", *(COLUMNS[key][0] for key in _SHORT))
    kept = [at for at in range(len(headings)) if at == 0 or any(row[at] != "–" for row in rows)]
    return Table(
        title,
        tuple(headings[at] for at in kept),
        tuple(tuple(row[at] for at in kept) for row in rows),
        note,
    )
