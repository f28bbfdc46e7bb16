from __future__ import annotations

import pytest

from text4seg.codec.rle import RLE
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import DescriptorGrid, GridShape

SHAPE = GridShape(2, 4)
TEXT = "others *2| dog *2| others *1| dog *3"
GRID = DescriptorGrid.from_rows(
    [["others", "others", "dog", "dog"], ["others", "dog", "dog", "dog"]]
)


def test_the_example() -> None:
    assert RLE.encode(GRID) == TEXT
    assert RLE.decode(TEXT, SHAPE) == GRID


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([["others"]], "others *1"),
        ([["others"] * 16] * 16, "others *256"),  # a run goes on over the ends of rows
        ([["dog", "cat"], ["cat", "dog"]], "dog *1| cat *2| dog *1"),
    ],
)
def test_more_texts(rows: list[list[str]], text: str) -> None:
    grid = DescriptorGrid.from_rows(rows)
    assert RLE.encode(grid) == text
    assert RLE.decode(text, grid.shape) == grid


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "a label"),
        (TEXT + "\n", 37, "end of the text"),  # no line break at the end
        (TEXT + "| ", 37, "end of the text"),
        (TEXT[:-1], 36, "' *'"),
        (TEXT[:-4], 33, "' *'"),
        ("others *2| dog *2", 18, "4 cells left"),
        ("others *2| dog *2\n others *1| dog *3\n", 18, "4 cells left"),  # that is rrle
        ("others *2| dog *1| dog *5", 20, "a label other than 'dog'"),
        # Neighbours differ over the whole image, also where a row ends between them.
        ("others *2| dog *2| dog *4", 20, "a label other than 'dog'"),
        ("others *9", 9, "a count from 1 to 8"),
        ("others *08", 9, "leading zero"),
    ],
)
def test_what_is_refused_where_and_why(text: str, column: int, expected: str) -> None:
    with pytest.raises(MaskSyntaxError) as caught:
        RLE.decode(text, SHAPE)
    assert (caught.value.line, caught.value.column) == (1, column)
    assert expected in caught.value.expected


def test_the_largest_grid() -> None:
    shape = GridShape(256, 256)
    assert RLE.encode(DescriptorGrid.empty(shape)) == "others *65536"
    assert RLE.decode("others *65536", shape).is_empty
