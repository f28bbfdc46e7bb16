from __future__ import annotations

import pytest

from text4seg.codec.sd import SD
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import DescriptorGrid, GridShape

SHAPE = GridShape(2, 4)
TEXT = "others| others| dog| dog\n others| dog| dog| dog\n"
GRID = DescriptorGrid.from_rows(
    [["others", "others", "dog", "dog"], ["others", "dog", "dog", "dog"]]
)


def test_the_example() -> None:
    assert SD.encode(GRID) == TEXT
    assert SD.decode(TEXT, SHAPE) == GRID


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([["others"]], "others\n"),
        ([["dog"], ["cat"]], "dog\n cat\n"),
        ([["a *", "*3"]], "a *| *3\n"),
    ],
)
def test_more_texts(rows: list[list[str]], text: str) -> None:
    grid = DescriptorGrid.from_rows(rows)
    assert SD.encode(grid) == text
    assert SD.decode(text, grid.shape) == grid


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("", 1, 1, "row 1, column 1"),
        (TEXT[:-1], 2, 23, "a line break"),
        (TEXT + " ", 3, 1, "end of the text"),
        (TEXT + " dog| dog| dog| dog\n", 3, 1, "end of the text"),
        (TEXT.replace("| dog\n", "\n", 1), 1, 20, "1 more cells"),  # a row too short
        (TEXT.replace("| dog\n", "| dog| dog\n", 1), 1, 25, "a line break"),  # too long
        (TEXT.replace("| ", "|", 1), 1, 8, "'| '"),
        (TEXT.replace("| ", "|  ", 1), 1, 9, "doubled spaces"),
        (TEXT.replace("| ", " | ", 1), 1, 1, "trailing"),
        (TEXT.replace("| ", "| | ", 1), 1, 9, "column 2"),
        (TEXT.replace("| ", "||", 1), 1, 8, "'| '"),
        (TEXT.replace("\n ", "\n"), 2, 1, "a space before row 2"),
        (TEXT.replace("\n ", "\n  "), 2, 2, "leading"),
        (TEXT.replace("\n", "\r\n"), 1, 25, "a line break"),
        (TEXT.replace("dog", "dog *1"), 1, 17, "a run length"),
    ],
)
def test_what_is_refused_where_and_why(text: str, line: int, column: int, expected: str) -> None:
    with pytest.raises(MaskSyntaxError) as caught:
        SD.decode(text, SHAPE)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert expected in caught.value.expected


def test_only_the_labels_asked_for() -> None:
    with pytest.raises(MaskSyntaxError, match="one of 'others', 'cat'"):
        SD.decode(TEXT, SHAPE, ["cat"])
