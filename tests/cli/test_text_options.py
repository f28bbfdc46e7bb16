from __future__ import annotations

import pytest

from tests.cli.conftest import Call
from text4seg.cli._text_options import list_names
from text4seg.codec import FORMATS


@pytest.mark.parametrize(
    ("names", "text"), [("a", "a"), ("ab", "a or b"), ("abc", "a, b or c")], ids=len
)
def test_names_are_listed(names: str, text: str) -> None:
    assert list_names(names) == text


@pytest.mark.parametrize("verb", ["encode", "decode", "grammar", "convert", "segment", "evaluate"])
def test_the_help_lists_every_format(call: Call, verb: str) -> None:
    assert list_names(FORMATS) in " ".join(call(verb, "--help").out.split())
