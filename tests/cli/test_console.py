"""Messages, data and the progress bar."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from text4seg.cli._console import ProgressBar, UsageError, _Rate, one_line, usage_errors
from text4seg.core.errors import InputError


@pytest.mark.parametrize(
    ("seconds_each", "told"), [(0.25, "4.0/s"), (30.0, "2.0/min")], ids=["fast", "slow"]
)
def test_the_rate_is_a_second_or_a_minute(seconds_each: float, told: str) -> None:
    now = [0.0]
    progress = Progress(get_time=lambda: now[0])
    task = progress.add_task("work", total=100)
    assert str(_Rate().render(progress.tasks[0])) == "–/s"
    for _ in range(4):
        now[0] += seconds_each
        progress.advance(task)
    assert str(_Rate().render(progress.tasks[0])) == told


def test_a_bar_with_a_total_tells_of_the_time_left() -> None:
    names = [type(column).__name__ for column in ProgressBar("work", 3)._progress.columns]
    assert names[-3:] == ["_Rate", "TimeElapsedColumn", "TimeRemainingColumn"]
    assert "TimeRemainingColumn" not in [
        type(column).__name__ for column in ProgressBar("work", None)._progress.columns
    ]


def test_an_error_inside_the_block_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no such grid"), usage_errors():
        raise InputError("no such grid")


def test_a_message_is_one_line() -> None:
    assert one_line(InputError("a\n  b")) == "a b"
