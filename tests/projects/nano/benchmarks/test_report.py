"""One command makes the evaluation sets and the report."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from projects.nano.benchmarks import report


def test_one_command_makes_the_sets_and_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        called.append(command)
        (tmp_path / "sets").mkdir(exist_ok=True)
        for name in ("coco", "clothing"):
            (tmp_path / "sets" / f"{name}.jsonl").write_text(f"{name}\n")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(report.subprocess, "run", run)
    arguments = ["--data", "images", "--out", str(tmp_path), "--", "--limit", "3"]
    assert report.main(arguments) == 0
    assert (tmp_path / "questions.jsonl").read_text() == "clothing\ncoco\n"
    assert called[0][1:3] == ["-m", "projects.nano.benchmarks.evaluation_sets"]
    assert called[1][2:4] == ["text4seg", "evaluate"]
    assert called[1][-2:] == ["--limit", "3"]
