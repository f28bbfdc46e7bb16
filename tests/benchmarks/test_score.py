"""The benchmark of scoring, on few predictions; and the command that makes a whole report."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import nano_report, score


def test_it_times_the_whole_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main(["--count", "30", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["benchmark"], record["count"], record["size"]) == ("score", 30, "480x640")
    assert record["seconds"] > 0
    assert 0 < record["giou"] < 1
    assert score.table(record).splitlines()[2].startswith("| 30 | 480x640 |")
    with pytest.raises(SystemExit):
        score.main(["--count", "0"])


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

    monkeypatch.setattr(nano_report.subprocess, "run", run)
    arguments = ["--data", "images", "--out", str(tmp_path), "--", "--limit", "3"]
    assert nano_report.main(arguments) == 0
    assert (tmp_path / "questions.jsonl").read_text() == "clothing\ncoco\n"
    assert called[0][1].endswith("evaluation_sets.py")
    assert called[1][2:4] == ["text4seg", "evaluate"]
    assert called[1][-2:] == ["--limit", "3"]
