"""Writes the generated tables of README, docs and model cards; --check only compares.

python scripts/readme_numbers.py [--check]

A table stands in any page between the marks

    <!-- table: NAME -->
    <!-- /table -->

and is made of benchmarks/results/NAME.json or projects/nano/results/NAME.json. A record of
evaluations,
{"runs": [{"title": …, "command": …, "report": what the command printed with --json}, …]}, has a
column for each set of each run. Any other record names the benchmark that printed it, as
{"benchmark": "passes", …} or in the mark, `<!-- table: NAME by passes -->`: then
`benchmarks/passes.py` has a function `table(record)` that returns Markdown.

Names and summaries of a registry stand between

    <!-- registry: text4seg.refine:REFINERS -->
    <!-- /registry -->
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.evaluation.summary import COLUMNS, Summary, to_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
RESULTS = {"benchmarks": "benchmarks/results", "projects.nano.benchmarks": "projects/nano/results"}
"""Packages of benchmarks, and where each keeps its records."""
CARDS = "src/text4seg/models/*/MODEL_CARD.md"
MARKED = re.compile(
    r"(?P<open><!-- table: (?P<name>[\w.-]+)(?: by (?P<by>\w+))? -->\n)"
    r"(?P<inside>.*?)(?P<close><!-- /table -->)",
    re.DOTALL,
)
REGISTRY = re.compile(
    r"(?P<open><!-- registry: (?P<module>[\w.]+):(?P<name>\w+) -->\n)"
    r".*?(?P<close><!-- /registry -->)",
    re.DOTALL,
)
NOT_MEASURED = "Not measured yet."
SHOWN = (
    *("questions", "grid_iou", "pixel_iou", "large_grid_iou", "large_pixel_iou", "oracle_iou"),
    *("ciou", "box_acc", "t_acc", "n_acc", "strict", "tokens", "passes", "seconds"),
)
"""What is shown of an evaluation."""


def pages(root: Path) -> Iterator[Path]:
    """Every page that may have tables."""
    for pattern in ("README.md", "docs/**/*.md", CARDS):
        yield from sorted(root.glob(pattern))


def render(root: Path, name: str, by: str | None) -> str:
    """The table of a record.

    Raises:
        ValueError: Nothing says how the record becomes a table.
    """
    files = {root / folder / f"{name}.json": package for package, folder in RESULTS.items()}
    file = next((file for file in files if file.exists()), None)
    if file is None:
        return NOT_MEASURED
    package = files[file]
    record: dict[str, Any] = json.loads(file.read_text())
    if "runs" in record:
        return evaluations(record)
    module = by or record.get("benchmark")
    if not isinstance(module, str):
        raise ValueError(f'{file}: neither "runs" nor "benchmark" is there, nor "by" in the mark')
    table = importlib.import_module(f"{package}.{module}").table(record)
    if not isinstance(table, str):
        raise TypeError(f"{package}.{module}: table() returns {type(table).__name__}")
    return table


def evaluations(record: dict[str, Any]) -> str:
    """Recorded evaluations as Markdown: a column for each set of each run, then the commands."""
    columns: list[tuple[str, dict[str, str]]] = []
    for run in record["runs"]:
        sets = run["report"]["sets"]
        for name, figures in sets.items():
            heading = run["title"] if len(sets) == 1 else f"{run['title']}: {name}"
            columns.append((heading, to_cells(Summary.from_json(figures))))
    lines = [
        "| | " + " | ".join(heading for heading, _ in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for key in SHOWN:
        values = [cells[key] for _, cells in columns]
        if any(value != "–" for value in values):
            lines.append(f"| {COLUMNS[key][0]} | " + " | ".join(values) + " |")
    commands = dict.fromkeys(run["command"] for run in record["runs"])
    return "\n".join([*lines, "", "Measured by", "", "```", *commands, "```"])


def renewed(root: Path, page: str) -> str:
    """The page with the text between its marks replaced."""

    def list_registry(found: re.Match[str]) -> str:
        registry = getattr(importlib.import_module(found["module"]), found["name"])
        rows = [f"| `{name}` | {registry.get_summary(name)} |" for name in registry]
        return "\n".join([f"{found['open']}| name | |", "|---|---|", *rows, found["close"]])

    def replace(found: re.Match[str]) -> str:
        inside = render(root, found["name"], found["by"])
        return f"{found['open']}{inside}\n{found['close']}"

    if page.count("<!-- table: ") != len(MARKED.findall(page)):
        raise ValueError("a page has a <!-- table: … --> without its <!-- /table -->")
    return REGISTRY.sub(list_registry, MARKED.sub(replace, page))


def main(arguments: list[str]) -> int:
    stale = []
    for path in pages(ROOT):
        page = path.read_text()
        new = renewed(ROOT, page)
        if new != page:
            stale.append(path)
            if "--check" not in arguments:
                path.write_text(new)
    if stale and "--check" in arguments:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"out of date: {names}: run python scripts/readme_numbers.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # the benchmarks that draw the tables are found from here
    raise SystemExit(main(sys.argv[1:]))
