"""Puts recorded results into README.md and the model card; --check only compares.

python scripts/readme_numbers.py [--check]

The record, benchmarks/results/nano_v0.json, is
{"runs": [{"title": …, "command": …, "report": what the command printed with --json}, …]}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from text4seg.evaluation.report import COLUMNS, Summary, to_cells

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "nano_v0.json"
PAGES = (ROOT / "README.md", ROOT / "src" / "text4seg" / "models" / "nano" / "MODEL_CARD.md")
BEGIN, END = "<!-- nano-numbers:begin -->", "<!-- nano-numbers:end -->"
NOT_MEASURED = "Not measured yet."


def table(record: dict[str, Any] | None) -> str:
    """The recorded figures as Markdown: a column for each set of each run, then the commands."""
    if record is None:
        return NOT_MEASURED
    columns: list[tuple[str, list[str]]] = []
    for run in record["runs"]:
        sets = run["report"]["sets"]
        for name, figures in sets.items():
            heading = run["title"] if len(sets) == 1 else f"{run['title']}: {name}"
            columns.append((heading, to_cells(Summary(**figures))))
    lines = [
        "| | " + " | ".join(heading for heading, _ in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for at, (name, _) in enumerate(COLUMNS.values()):
        lines.append(f"| {name} | " + " | ".join(cells[at] for _, cells in columns) + " |")
    commands = dict.fromkeys(run["command"] for run in record["runs"])
    return "\n".join([*lines, "", "Measured by", "", "```", *commands, "```"])


def renewed(page: str, inside: str) -> str:
    """The page with the text between its marks replaced; a page without marks is an error."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{inside}\n{END}{after}"


def main(arguments: list[str]) -> int:
    inside = table(json.loads(RECORD.read_text()) if RECORD.exists() else None)
    stale = []
    for path in PAGES:
        page = path.read_text()
        if renewed(page, inside) != page:
            stale.append(path)
            if "--check" not in arguments:
                path.write_text(renewed(page, inside))
    if stale and "--check" in arguments:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"out of date: {names}: run python scripts/readme_numbers.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
