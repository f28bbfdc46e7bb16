from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests.evaluation.conftest import SIDE, block, make_row
from tests.evaluation.test_judge import cells
from tests.fakes import block as grid_block
from text4seg.codec import get_format
from text4seg.evaluation import Row
from text4seg.evaluation.page import failures, to_html
from text4seg.evaluation.report import Settings, build, tables, to_markdown

SETTINGS = Settings("res", 1, {"model": "fake", "data": "val.jsonl"})
TEXT = get_format("sd").encode(grid_block("<b>the</b> dog", slice(4, 8), slice(0, 2)))


@pytest.fixture
def rows() -> list[Row]:
    written = {"cells": cells(slice(4, 8), slice(0, 2)), "format": "sd", "text": TEXT}
    return [
        make_row(block(0), block(0), index=0),
        make_row(
            block(0), block(0, 6), index=1, expression="<b>the</b> dog", image="b.jpg", **written
        ),
        make_row(None, block(0), index=2, expression="the left cat", image="c.jpg"),
        make_row(block(0), block(40), index=3, image="d.jpg", name="other"),
    ]


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_failures_come_worst_first(rows: list[Row]) -> None:
    assert [row.index for row in failures(rows)] == [2, 3, 1]


def test_the_page_is_whole_and_needs_nothing_else(rows: list[Row]) -> None:
    page = to_html(build(rows, SETTINGS), rows, lambda row: Image.new("RGB", (SIDE, SIDE)))
    reader = Links()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.found) == 2 * 3, "truth and answer of each failure"
    assert all(link.startswith("data:image/jpeg;base64,") for link in reader.found)
    assert "http" not in page
    assert "<b>the</b>" not in page, "what a data set says is text, never markup"
    assert "&lt;b&gt;the&lt;/b&gt; dog" in page
    assert page.count('<i class="hit">') == 4 * 2
    assert page.count('<i class="missed">') == 4 * 2
    assert re.search(r"hallucinated</b> · IoU –", page)


def test_the_page_can_do_without_images(rows: list[Row]) -> None:
    page = to_html(build(rows, SETTINGS), rows, limit=1)
    assert "1 of 3, lowest IoU first" in page


def test_markdown_has_all_tables(rows: list[Row]) -> None:
    report = build(rows, SETTINGS)
    text = to_markdown(report)
    titles = ["Figures", "Errors", "By size", "By position words"]
    assert [table.title for table in tables(report)] == titles
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == titles
    assert "| IoU, pixels |" in text
    assert "| hallucinated | 1 (33.3 %) |" in text
    assert "- model: fake" in text
    for table in tables(report):
        assert all(len(row) == len(table.headings) for row in table.rows)


def test_a_task_puts_its_figures_first(rows: list[Row]) -> None:
    for task, first in (("res", "cIoU"), ("gres", "gIoU"), ("rec", "box Acc@0.5")):
        table = tables(build(rows, Settings(task, 1, SETTINGS.run)))[0]
        assert table.rows[1][0] == first
