from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from tests.evaluation.conftest import SIDE
from text4seg.evaluation import Report
from text4seg.evaluation.page import failures, save_report, to_html


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


def test_failures_come_worst_first(report: Report) -> None:
    assert [record.truth.index for record in failures(report.records)] == [2, 3, 1]


def test_the_page_is_whole_and_needs_nothing_else(report: Report) -> None:
    page = to_html(report, lambda record: Image.new("RGB", (SIDE, SIDE)))
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


def test_the_page_can_do_without_images(report: Report) -> None:
    page = to_html(report, limit=1)
    assert "1 of 3, lowest IoU first" in page


def test_three_files_are_saved(report: Report, tmp_path: Path) -> None:
    files = save_report(report, tmp_path / "out")
    assert [file.name for file in files] == ["report.json", "report.md", "report.html"]
    assert json.loads(files[0].read_text()) == json.loads(json.dumps(report.to_json()))
    assert files[1].read_text() == report.to_markdown()
