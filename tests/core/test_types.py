from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text4seg.core.errors import InputError, LabelError
from text4seg.core.types import (
    OTHERS,
    Box,
    DescriptorGrid,
    GridShape,
    Size,
    check_label,
    clean_label,
)


@pytest.mark.parametrize(
    "label",
    [
        "dog",
        "the dog on the left",
        "Others",  # only the exact word is reserved
        "others2",
        "a*3",  # no space before the star
        "*3",
        "a * 3",  # no digit right after the star
        "a *",
        "a *b",
        "3",
        "狗",
        "a *٣",  # counts are ASCII digits, so this is none
        "\\n",
        '"quoted"',
        "a\tb",
    ],
)
def test_check_label_accepts(label: str) -> None:
    check_label(label)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("", "empty"),
        ("others", "reserved"),
        ("a\nb", "line break"),
        ("a\rb", "line break"),
        ("a|b", "separates"),
        ("|", "separates"),
        ("a *3", "run length"),
        ("a *0b", "run length"),
        (" a", "spaces"),
        ("a ", "spaces"),
        ("a  b", "spaces"),
        (" ", "spaces"),
        ("a\ud800", "surrogate"),
    ],
)
def test_check_label_refuses(label: str, reason: str) -> None:
    with pytest.raises(LabelError, match=reason):
        check_label(label)


@pytest.mark.parametrize(
    ("text", "label", "changes"),
    [
        ("dog", "dog", []),
        ("  the \n dog ", "the dog", ["collapsed white space"]),
        ("cat|dog", "cat dog", ["dropped '|'"]),
        ("dog *3", "dog 3", ["dropped '*' before a digit"]),
        ("dog *3 *4", "dog 3 4", ["dropped '*' before a digit"]),
        ("a\x00b", "a b", ["dropped control characters"]),
        ("dog</seg>", "dog", ["dropped <seg> marks", "collapsed white space"]),
        ("<s<seg>eg>", "<s eg>", ["dropped <seg> marks"]),  # nothing new appears
        ("a\ud800", "a", ["dropped control characters", "collapsed white space"]),
    ],
)
def test_clean_label(text: str, label: str, changes: list[str]) -> None:
    assert clean_label(text) == (label, changes)


@pytest.mark.parametrize("text", ["", "  ", "|", "others", " others\n", "\x00"])
def test_clean_label_refuses_where_nothing_is_left(text: str) -> None:
    with pytest.raises(LabelError, match="cannot be made a label"):
        clean_label(text)


@given(st.text(alphabet=st.sampled_from("ab |*3\n\t<seg>/\x00"), max_size=12) | st.text())
def test_clean_label_gives_a_label_or_refuses(text: str) -> None:
    try:
        label, changes = clean_label(text)
    except LabelError:
        return
    check_label(label)
    assert (label == text) == (not changes)
    assert clean_label(label) == (label, [])


@pytest.mark.parametrize(
    ("text", "rows", "cols"),
    [("16x16", 16, 16), (" 16 x 64 ", 16, 64), ("1X256", 1, 256), ("2×3", 2, 3)],
)
def test_grid_shape_parse(text: str, rows: int, cols: int) -> None:
    assert GridShape.parse(text) == GridShape(rows, cols)
    assert GridShape.parse(text).cells == rows * cols
    assert str(GridShape(rows, cols)) == f"{rows}x{cols}"


@pytest.mark.parametrize(
    "text",
    ["", "16", "16x", "x16", "0x16", "16x0", "257x1", "1x257", "-1x2", "1.5x2", "٣x٣", "1x2x3"],
)
def test_grid_shape_refuses(text: str) -> None:
    with pytest.raises(InputError):
        GridShape.parse(text)


def test_size_and_box() -> None:
    assert Size(2, 3).pixels == 6
    assert str(Size(2, 3)) == "2x3"
    for height, width in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(InputError):
            Size(height, width)
    box = Box(1, 2, 4, 8)
    assert (box.width, box.height, box.area) == (3, 6, 18)
    assert Box(4, 2, 1, 8).area == 0  # never negative


class TestDescriptorGrid:
    def test_labels_stand_in_order_of_appearance_after_others(self) -> None:
        cells = np.array([[3, 1], [1, 0]])
        grid = DescriptorGrid.build(["cat", "dog", "unused", "others"], cells)
        assert grid.labels == ("others", "dog", "cat")
        assert grid.cells.tolist() == [[0, 1], [1, 2]]
        assert grid.cells.dtype == np.int32

    def test_others_is_first_even_when_absent(self) -> None:
        grid = DescriptorGrid.from_rows([["dog", "dog"]])
        assert grid.labels == ("others", "dog")
        assert grid.cells.tolist() == [[1, 1]]
        assert not grid.is_empty

    def test_one_label_listed_twice_is_one(self) -> None:
        grid = DescriptorGrid.build(["dog", "dog", "others"], np.array([[0, 1, 2]]))
        assert grid == DescriptorGrid.from_rows([["dog", "dog", "others"]])

    def test_equality_is_by_words(self) -> None:
        first = DescriptorGrid.from_rows([["dog", "others"]])
        assert first == DescriptorGrid.build(["dog", "cat", "others"], np.array([[0, 2]]))
        assert hash(first) == hash(DescriptorGrid.build(["others", "dog"], np.array([[1, 0]])))
        assert first != DescriptorGrid.from_rows([["cat", "others"]])
        assert first != DescriptorGrid.from_rows([["others", "dog"]])
        assert first != DescriptorGrid.from_rows([["dog"], ["others"]])  # another shape
        assert first != "dog"

    def test_empty_and_select(self) -> None:
        empty = DescriptorGrid.empty(GridShape(2, 3))
        assert empty.is_empty
        assert empty.shape == GridShape(2, 3)
        assert empty.select("dog").tolist() == [[False] * 3] * 2
        grid = DescriptorGrid.from_rows([["dog", "others"], ["cat", "dog"]])
        assert grid.select("dog").tolist() == [[True, False], [False, True]]
        assert grid.select(OTHERS).tolist() == [[False, True], [False, False]]
        assert grid.rows_of_labels() == [["dog", "others"], ["cat", "dog"]]

    def test_it_cannot_be_changed(self) -> None:
        source = np.array([[0, 1]])
        grid = DescriptorGrid.build(["others", "dog"], source)
        source[0, 0] = 1
        assert grid.cells.tolist() == [[0, 1]]
        with pytest.raises(ValueError, match="read-only"):
            grid.cells[0, 0] = 1
        again = pickle.loads(pickle.dumps(grid))
        assert again == grid
        assert not again.cells.flags.writeable

    def test_as_many_labels_as_cells(self) -> None:
        cells = np.arange(256 * 256).reshape(256, 256)
        grid = DescriptorGrid.build([f"label {at}" for at in range(256 * 256)], cells)
        assert len(grid.labels) == 256 * 256 + 1
        assert grid.rows_of_labels()[255][255] == "label 65535"

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        ("labels", "cells"),
        [
            (["others"], np.array([0, 0])),  # not two-dimensional
            (["others"], np.zeros((0, 3), int)),  # no rows
            (["others"], np.array([[1]])),  # no such label
            (["others"], np.array([[-1]])),
            (["others"], np.zeros((257, 1), int)),  # too many rows
            ([], np.array([[0]])),
            (["others"], np.array([[0.0]])),
        ],
    )
    def test_it_refuses_bad_cells(self, labels: list[str], cells: np.ndarray) -> None:
        with pytest.raises(InputError):
            DescriptorGrid.build(labels, cells)

    def test_it_refuses_bad_labels_and_ragged_rows(self) -> None:
        with pytest.raises(LabelError):
            DescriptorGrid.from_rows([["a|b"]])
        for rows in ([], [[]], [["dog"], ["dog", "dog"]]):
            with pytest.raises(InputError):
                DescriptorGrid.from_rows(rows)
