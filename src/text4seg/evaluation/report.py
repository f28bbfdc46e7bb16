"""A report: all that is to be said about some rows, as plain values and as Markdown."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

from text4seg.evaluation.groups import (
    MEANINGS,
    VERDICTS,
    by_position,
    by_size,
    error_split,
)
from text4seg.evaluation.rows import Row
from text4seg.evaluation.summary import (
    COLUMNS,
    Summary,
    by_set,
    intervals_of,
    percent,
    summarise,
    summarise_set,
    three,
    to_cells,
)

Task = Literal["res", "gres", "rec"]

HEADLINES: Mapping[Task, tuple[str, ...]] = {
    "res": ("ciou", "pixel_iou", "precision", "grid_iou", "oracle_iou"),
    "gres": ("giou", "ciou", "n_acc", "t_acc", "grid_iou", "oracle_iou"),
    "rec": ("box_acc", "pixel_iou", "ciou"),
}
"""What a task is judged by; it comes first in tables."""

_SHORT = ("questions", "grid_iou", "pixel_iou", "oracle_iou", "t_acc", "n_acc")


@dataclass(frozen=True, slots=True)
class Settings:
    """What was run.

    Attributes:
        task: What it is judged by.
        empty_below: Pixels below which an answer counts as empty.
        run: Everything else, as the caller tells it: model, data, grid, …
    """

    task: Task
    empty_below: int
    run: Mapping[str, Any]


def build(rows: Sequence[Row], settings: Settings, *, intervals: bool = True) -> dict[str, Any]:
    """The report as plain values, ready for JSON; `rows` has at least one."""
    below = settings.empty_below
    sets = by_set(rows)

    def figures(groups: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Any]]:
        return {
            name: asdict(summarise_set(group, empty_below=below)) for name, group in groups.items()
        }

    return {
        **settings.run,
        "task": settings.task,
        "empty_below": below,
        "versions": versions(),
        "sets": {name: asdict(one) for name, one in summarise(rows, empty_below=below).items()},
        "intervals": {
            name: {
                figure: [found.low, found.high]
                for figure, found in intervals_of(group, empty_below=below).items()
            }
            for name, group in sets.items()
        }
        if intervals
        else {},
        "errors": {name: error_split(group, empty_below=below) for name, group in sets.items()},
        "by_size": figures(by_size(rows)),
        "by_position": figures(by_position(rows)),
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


def tables(report: Mapping[str, Any]) -> list[Table]:
    """The tables of a report: figures by set, errors, by size, by position words."""
    found = [_by_set(report), _errors(report)]
    for key, title in (("by_size", "By size"), ("by_position", "By position words")):
        if report[key]:
            note = (
                "Size is the share of the image that is meant; absent things are left out."
                if key == "by_size"
                else "An expression may use words of several groups."
            )
            found.append(_short(title, report[key], note))
    return found


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"# {title_of(report)}", "", *(f"- {line}" for line in settings_lines(report)), ""]
    return "\n".join(lines) + "\n\n".join(table.to_markdown() for table in tables(report)) + "\n"


def title_of(report: Mapping[str, Any]) -> str:
    """One line that names what was measured."""
    return f"{report.get('model', 'predictions')} on {report.get('data', 'a data set')}"


def settings_lines(report: Mapping[str, Any]) -> list[str]:
    """What was run, one setting a line."""
    hidden = {"sets", "intervals", "errors", "by_size", "by_position", "versions"}
    lines = [f"{key}: {value}" for key, value in report.items() if key not in hidden]
    told = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return [*lines, f"versions: {told}"]


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
        sure = [_interval(report, name, key) for name in sets]
        shown = [f"{value} {extra}".strip() for value, extra in zip(values, sure, strict=True)]
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
