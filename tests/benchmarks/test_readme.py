"""The index of benchmarks is complete."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "benchmarks"


def test_every_script_has_a_line_in_the_index() -> None:
    listed = re.findall(r"\[(\w+)\]\(\1\.py\)", (ROOT / "README.md").read_text())
    assert sorted(listed) == sorted(path.stem for path in ROOT.glob("*.py"))


def test_every_record_is_shown_in_a_page_or_named_in_the_log() -> None:
    top = ROOT.parent
    pages = [*top.glob("docs/**/*.md"), top / "README.md", *top.glob("experiments/*.md")]
    text = "".join(page.read_text() for page in pages if page.exists())
    names = {path.stem for path in (ROOT / "results").glob("*.json")}
    assert [
        n for n in sorted(names) if f"table: {n} " not in text and f"{n}.json" not in text
    ] == []
