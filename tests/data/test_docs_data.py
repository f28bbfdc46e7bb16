"""docs/data.md: its commands and Python lines run, its tables and layouts are the program's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from text4seg.core.coverage import RULES
from text4seg.data import READERS
from text4seg.data.schemas import SCHEMAS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_commands_and_the_python_lines_run(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = "".join(blocks("sh"))
    assert commands.count("text4seg build") == 2
    assert len(blocks("python")) == 3
    scripts = [
        ["bash", "-euo", "pipefail", "-c", commands],
        *([sys.executable, "-c", lines] for lines in blocks("python")),
    ]
    for script in scripts:
        done = subprocess.run(
            script, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "<figure>" in (tmp_path / "out" / "samples.html").read_text()


def test_every_reader_schema_and_rule_is_documented() -> None:
    assert f"reads {len(READERS)} layouts" in PAGE
    for name, reader in READERS.items():
        assert f"| `{name}` | {READERS.get_summary(name)} |" in PAGE
        assert "".join(f"    {line}\n" for line in reader.layout.splitlines()) in PAGE
        for option, meaning in reader.options.items():
            assert f"| `{name}` | `{option}` | {meaning} |" in PAGE
    for name in (*SCHEMAS, *RULES):
        assert f"| `{name}` |" in PAGE
