from __future__ import annotations

import pytest

from text4seg.codec.rrle import RRLE
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import DescriptorGrid, GridShape

SHAPE = GridShape(2, 4)
TEXT = "others *2| dog *2\n others *1| dog *3\n"
GRID = DescriptorGrid.from_rows(
    [["others", "others", "dog", "dog"], ["others", "dog", "dog", "dog"]]
)


def test_the_example_of_the_paper() -> None:
    assert RRLE.encode(GRID) == TEXT
    assert RRLE.decode(TEXT, SHAPE) == GRID


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([["others"]], "others *1\n"),  # one cell
        ([["others"] * 16] * 2, "others *16\n others *16\n"),  # nothing there
        ([["dog"] * 3], "dog *3\n"),  # others may be absent
        ([["a", "b", "a"]], "a *1| b *1| a *1\n"),
        ([["dog"], ["dog"]], "dog *1\n dog *1\n"),  # runs end with their row
        ([["the dog *"] * 10], "the dog * *10\n"),
        ([["3", "3", "*3"]], "3 *2| *3 *1\n"),
    ],
)
def test_more_texts(rows: list[list[str]], text: str) -> None:
    grid = DescriptorGrid.from_rows(rows)
    assert RRLE.encode(grid) == text
    assert RRLE.decode(text, grid.shape) == grid


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("", 1, 1, "a label"),
        ("\n", 1, 1, "a label"),
        (TEXT[:-1], 2, 19, "line break"),  # the trailing line break belongs to the text
        (TEXT + "\n", 3, 1, "end of the text"),
        (TEXT + " ", 3, 1, "end of the text"),
        (TEXT + " others *4\n", 3, 1, "end of the text"),  # a row too many
        (TEXT.replace("dog *3", "dog *2"), 2, 19, "1 cells left"),  # a row too short
        (TEXT.replace("dog *3", "dog *4"), 2, 18, "a count from 1 to 3"),  # too long
        (TEXT.replace("dog *3", "dog *3| dog *1"), 2, 19, "line break"),
        (TEXT.replace("dog *3", "dog *0"), 2, 18, "a count"),  # no run of nothing
        (TEXT.replace("dog *3", "dog *03"), 2, 18, "leading zero"),
        (TEXT.replace("dog *3", "dog *٣"), 2, 19, "' *'"),  # ASCII digits only: so far a label
        (TEXT.replace("dog *3", "dog *+3"), 2, 20, "' *'"),
        (TEXT.replace("dog *3", "dog *3 "), 2, 19, "line break"),
        (
            TEXT.replace("dog *3", "dog * 3"),
            2,
            20,
            "' *'",
        ),  # no space after the star: so far a label
        (TEXT.replace("dog *3", "dog*3"), 2, 18, "' *'"),  # one space before it
        (TEXT.replace("dog *3", "dog  *3"), 2, 13, "doubled spaces"),
        (TEXT.replace("dog *3", "dog\t*3"), 2, 19, "' *'"),
        (TEXT.replace("dog *3", "dog"), 2, 16, "' *'"),  # a count is always written
        (TEXT.replace("dog *3", "*3"), 2, 15, "' *'"),  # a run has a label
        (TEXT.replace("dog *3", " *3"), 2, 13, "a label"),
        (TEXT.replace("dog *3", ""), 2, 13, "a label"),
        (TEXT.replace("| ", "|", 1), 1, 11, "'| '"),  # the separator has its space
        (TEXT.replace("| ", "|  ", 1), 1, 12, "doubled spaces"),
        (TEXT.replace("| ", "| | ", 1), 1, 12, "a label"),
        (TEXT.replace("| ", " | ", 1), 1, 10, "'| '"),
        (TEXT.replace("\n ", "\n"), 2, 1, "a space"),  # rows after the first start with one
        (TEXT.replace("\n ", "\n  "), 2, 2, "doubled spaces"),
        (TEXT.replace("\n ", "\r\n "), 1, 18, "line break"),
        (" " + TEXT, 1, 1, "doubled spaces"),  # the first row starts without a space
        ("others *2| others *2\n others *4\n", 1, 12, "a label other than"),
        ("others *1| dog *3| ", 1, 18, "line break"),
        ("others *99999999999999999999\n", 1, 9, "a count from 1 to 4"),
        ("dog\ud800 *4\n others *4\n", 1, 1, "surrogate"),
    ],
)
def test_what_is_refused_where_and_why(text: str, line: int, column: int, expected: str) -> None:
    with pytest.raises(MaskSyntaxError) as caught:
        RRLE.decode(text, SHAPE)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert expected in caught.value.expected


def test_only_the_labels_asked_for() -> None:
    assert RRLE.decode(TEXT, SHAPE, ["dog", "cat"]) == GRID
    with pytest.raises(MaskSyntaxError, match="expected one of 'others', 'cat', found 'dog"):
        RRLE.decode(TEXT, SHAPE, ["cat"])
    with pytest.raises(MaskSyntaxError, match="'e' …"):
        RRLE.decode(TEXT, SHAPE, list("abcdefgh"))


def test_the_shape_is_the_readers() -> None:
    for shape in (GridShape(1, 8), GridShape(4, 2), GridShape(2, 5), GridShape(1, 4)):
        with pytest.raises(MaskSyntaxError):
            RRLE.decode(TEXT, shape)
