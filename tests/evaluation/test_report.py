from __future__ import annotations

from dataclasses import replace

import pytest

from text4seg.core.errors import UnknownNameError
from text4seg.evaluation import EvaluationOptions, Report


def test_markdown_has_all_tables(report: Report) -> None:
    text = report.to_markdown()
    titles = ["Figures", "Errors", "By size", "By position words"]
    assert [table.title for table in report.tables()] == titles
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == titles
    assert "| IoU, pixels |" in text
    assert "| hallucinated | 1 (33.3 %) |" in text
    assert "- model: fake" in text
    for table in report.tables():
        assert all(len(row) == len(table.headings) for row in table.rows)


def test_a_task_puts_its_figures_first(report: Report) -> None:
    for task, first in (("res", "cIoU"), ("gres", "gIoU"), ("rec", "box Acc@0.5")):
        table = replace(report, options=EvaluationOptions(task)).tables()[0]
        assert table.rows[1][0] == first


def test_the_least_pixels_of_an_answer_are_those_of_the_task() -> None:
    found = [EvaluationOptions(*one).least_pixels for one in (("res",), ("gres",), ("gres", 7))]
    assert found == [1, 50, 7]
    with pytest.raises(UnknownNameError):
        EvaluationOptions("vqa")  # type: ignore[arg-type]
