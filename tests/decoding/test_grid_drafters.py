"""Drafts from another mask and from a cell head."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from tests.decoding.test_drafters import SHAPE, block, known
from text4seg.codec import LineSyntax, get_format
from text4seg.core.errors import InputError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import Drafter, make_drafter
from text4seg.decoding.grid_drafters import GridDraft, HeadDraft, grid_to_lines, read_prefix


def guess_all(drafter: Drafter, text: str = "") -> str:
    """What is drafted after a text, as far as a grid goes."""
    return b"".join(islice(drafter.guess(text.encode()), SHAPE.rows + 1)).decode()


@pytest.mark.parametrize("name", ["sd", "rle", "rrle"])
def test_a_previous_mask_is_guessed_in_this_texts_words(name: str) -> None:
    drafter = make_drafter("previous", known(name, previous=block()))
    form = get_format(name)
    cells = block().cells
    expected = form.encode(DescriptorGrid.build(("others", "dog"), cells))
    for written in range(len(expected)):
        assert expected[:written] + guess_all(drafter, expected[:written]) == expected


@pytest.mark.parametrize("name", ["sd", "rrle"])
def test_a_previous_mask_goes_on_below_what_differs(name: str) -> None:
    """One run moved by a cell: its row is fitted, the rows below are as they were."""
    drafter = make_drafter("previous", known(name, previous=block()))
    moved = np.array(block().cells)
    moved[1] = np.roll(moved[1], 1)
    form = get_format(name)
    text = form.encode(DescriptorGrid.build(("others", "dog"), moved))
    plain = form.encode(DescriptorGrid.build(("others", "dog"), block().cells))
    first = text.index("\n") + 1
    start = text[: text.index("\n", first) - 4]  # all but the end of the second row
    drafted = start + guess_all(drafter, start)
    assert drafted.splitlines()[2:] == plain.splitlines()[2:]


def test_a_first_expression_has_no_previous_mask() -> None:
    for name in ("previous", "auto"):
        drafter = make_drafter(name, known("rrle"))
        copy = make_drafter("row", known("rrle"))
        text = "others *8\n others *2| dog *6\n"
        assert guess_all(drafter, text) == guess_all(copy, text) != ""


def test_the_threshold_of_a_head_follows_the_text() -> None:
    odds = np.full((SHAPE.rows, SHAPE.cols), -4.0)
    odds[:, 2:6] = -1.0  # the head hesitates where the model does not
    drafter = make_drafter("head", known("sd", cell_log_odds=odds))
    assert "dog" not in guess_all(drafter)
    row = "others| others| dog| dog| dog| dog| others| others\n"
    assert guess_all(drafter, row) == f" {row}" * 5


def test_the_source_that_was_right_is_believed() -> None:
    """The head is wrong about everything, the previous mask about the left edge."""
    odds = np.where(block().select("cat"), -9.0, 9.0)
    sources = known("sd", previous=block(left=1), cell_log_odds=odds)
    drafter = make_drafter("auto", sources)
    dog = "others| others| dog| dog| dog| dog| others| others\n"
    none = "| ".join(["others"] * 8) + "\n"
    assert guess_all(drafter).startswith("dog| dog"), "nothing is known yet: the head is asked"
    assert guess_all(drafter, none).startswith(" others| dog| dog"), "the previous mask was right"
    written = none + f" {dog}" * 4
    assert guess_all(drafter, written) == f" {dog}", "rows repeat, as many as are left"


def test_a_grid_of_another_shape_is_refused() -> None:
    syntax = get_format("sd").syntax
    with pytest.raises(InputError, match="2x2 cells, and the grid is 6x8"):
        GridDraft(syntax, SHAPE, [[b"dog"] * 2] * 2)
    with pytest.raises(InputError, match="2x2 cells, and the grid is 6x8"):
        HeadDraft(syntax, SHAPE, np.zeros((2, 2)), "dog")


def test_a_grid_is_read_in_the_order_of_the_text() -> None:
    grid = DescriptorGrid.from_rows([["others", "cat", "cow"], ["others", "others", "cat"]])
    rows = grid_to_lines(get_format("rrle").syntax, grid, None)
    assert rows == [[b"others", b"cat", b"cow"], [b"others", b"others", b"cat"]]
    columns = grid_to_lines(LineSyntax(has_counts=True, scope="column"), grid, "dog")
    assert columns == [[b"others", b"others"], [b"dog", b"others"], [b"dog", b"dog"]]


def test_columns_are_drafted_as_columns() -> None:
    """A head and a previous mask for a text that goes down the columns."""
    syntax, shape = LineSyntax(has_counts=True, scope="column"), GridShape(4, 3)
    cells = np.zeros((4, 3), dtype=np.int32)
    cells[1:3, 1] = 1
    text = "others *4\n others *1| dog *2| others *1\n others *4\n"
    grid = DescriptorGrid.build(("others", "dog"), cells)
    head = HeadDraft(syntax, shape, np.where(cells, 2.0, -2.0), "dog")
    previous = GridDraft(syntax, shape, grid_to_lines(syntax, grid, "dog"))
    for drafter in (head, previous):
        for written in range(len(text)):
            assert text[:written] + guess_all(drafter, text[:written]) == text


def test_recent_lines_count_most() -> None:
    syntax, shape = get_format("sd").syntax, GridShape(3, 2)
    written = read_prefix(syntax, b"dog| others\n others| dog\n dog|", shape, b"dog")
    assert written.cells.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert written.weight[:, 0].tolist() == pytest.approx([0.49, 0.7, 1.0])
    assert written.weight[2, 1] == 0.0, "not written yet"
    assert written.copied().tolist() == [[0, 0], [1, 0], [0, 1]]
    assert written.mistakes(written.cells) == 0.0
    assert written.mistakes(1 - written.cells) == pytest.approx(2 * 0.49 + 2 * 0.7 + 1.0)
