"""The examples of docs/format.md do what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


def test_the_examples_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    results = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert results.failed == 0, capsys.readouterr().out
    assert results.attempted > 20
