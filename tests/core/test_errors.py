from __future__ import annotations

import pickle

import pytest

from text4seg.core import errors
from text4seg.core.errors import (
    MaskSyntaxError,
    MissingExtraError,
    Text4SegError,
    UnknownNameError,
)


@pytest.mark.parametrize(
    ("text", "at", "line", "column", "found"),
    [
        ("dog *2", 4, 1, 5, "'*2'"),
        ("a\nbc", 2, 2, 1, "'bc'"),  # the first character of a line
        ("a\nbc", 1, 1, 2, r"'\nbc'"),  # the line break belongs to the line it ends
        ("a\n\nb", 3, 3, 1, "'b'"),
        ("abc", 3, 1, 4, "the end of the text"),
        ("", 0, 1, 1, "the end of the text"),
        ("x" * 100, 0, 1, 1, "'" + "x" * 24 + "'…"),  # an excerpt, not the text
        ("é", 0, 1, 1, r"'\xe9'"),  # a terminal may not show it
    ],
)
def test_mask_syntax_error_says_where_and_what(
    text: str, at: int, line: int, column: int, found: str
) -> None:
    error = MaskSyntaxError(text, at, "a label")
    assert (error.text, error.at, error.expected) == (text, at, "a label")
    assert (error.line, error.column, error.found) == (line, column, found)
    assert str(error) == f"line {line}, column {column}: expected a label, found {found}"


def test_unknown_name_lists_the_known_ones_and_the_closest() -> None:
    error = UnknownNameError("format", "rrel", ["sd", "rle", "rrle"])
    assert str(error) == "unknown format 'rrel'; known: sd, rle, rrle; did you mean 'rrle'?"
    assert str(UnknownNameError("format", "?", ["sd"])) == "unknown format '?'; known: sd"


def test_missing_extra_gives_the_install_line() -> None:
    assert "pip install 'text4seg[hf]'" in str(MissingExtraError("torch", "hf"))


@pytest.mark.parametrize(
    "error",
    [
        MaskSyntaxError("dog", 1, "a label"),
        MissingExtraError("torch", "hf"),
        UnknownNameError("format", "x", ["sd"]),
        errors.LabelError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_processes(error: Text4SegError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_all_errors_are_in_one_tree() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    ours = [value for value in found if value.__module__ == errors.__name__]
    assert len(ours) == 10
    assert all(issubclass(value, Text4SegError) for value in ours)
