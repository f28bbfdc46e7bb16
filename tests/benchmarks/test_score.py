"""The benchmark of scoring, on few predictions."""

from __future__ import annotations

import json

import pytest

from benchmarks import score


def test_it_times_the_whole_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main(["--count", "30", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["benchmark"], record["count"], record["size"]) == ("score", 30, "480x640")
    assert record["seconds"] > 0
    assert 0 < record["giou"] < 1
    assert score.table(record).splitlines()[2].startswith("| 30 | 480x640 |")
    with pytest.raises(SystemExit):
        score.main(["--count", "0"])
