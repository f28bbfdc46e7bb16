"""The mask line by line, while it is written."""

from __future__ import annotations

import numpy as np
import pytest

from tests.segmenter.conftest import DOG, IMAGE, chat
from text4seg.codec import LineSyntax, get_format
from text4seg.codec.rrle import RowRunLength
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import DecodingOptions
from text4seg.segmenter import PartialMask, Segmentation, Segmenter
from text4seg.segmenter.streaming import LineReader, in_background


@pytest.mark.parametrize("form", ["sd", "rrle"])
def test_every_row_is_told_once_and_the_last_one_brings_the_answer(form: str) -> None:
    states = list(Segmenter(chat(form), format=form).stream(IMAGE, "the dog"))
    assert [state.rows for state in states] == list(range(1, 17))
    assert all(state.segmentation is None for state in states[:-1])
    answer = states[-1].segmentation
    assert isinstance(answer, Segmentation)
    assert answer.grid == DOG
    for state in states[:-1]:
        assert answer.text.startswith(state.text)
        assert np.array_equal(state.grid.cells[: state.rows], DOG.cells[: state.rows])
        assert not state.grid.cells[state.rows :].any()


def test_image_wise_runs_complete_rows_together() -> None:
    states = list(Segmenter(chat("rle"), format="rle").stream(IMAGE, "the dog"))
    assert [state.rows for state in states] == [1, 2, 3, 4, 5, 6, 7, 16]
    assert states[3].grid == DescriptorGrid.empty(GridShape(16, 16))


def test_leaving_early_stops_the_model() -> None:
    segmenter = Segmenter(chat(), options=DecodingOptions(draft="none"))
    stream = segmenter.stream(IMAGE, "the dog")
    first = next(stream)
    assert isinstance(first, PartialMask)
    stream.close()


def test_errors_come_out_where_the_stream_is_read() -> None:
    model = chat()
    model.text_for = lambda question: 1 / 0  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        next(Segmenter(model).stream(IMAGE, "the dog"))


def test_boxes_are_shown_as_a_whole() -> None:
    reader = LineReader(get_format("box"), GridShape(2, 4), "dog")
    assert list(reader.new_in(b"[12-30, 04-61]\n others *4\n dog *4\n")) == []


def test_lines_that_are_columns_fill_the_grid_from_the_left() -> None:
    """A format that goes down the columns is streamed by its syntax alone."""

    class ColumnWise(RowRunLength):
        syntax = LineSyntax(has_counts=True, scope="column")

    reader = LineReader(ColumnWise(), GridShape(2, 3), "dog")
    assert list(reader.new_in(b"dog *1| oth")) == []
    (first,) = reader.new_in(b"dog *1| others *1\n dog *")
    assert (first.rows, first.text) == (1, "dog *1| others *1\n")
    assert first.grid == DescriptorGrid.from_rows([["dog", "others", "others"], ["others"] * 3])
    (second,) = reader.new_in(b"dog *1| others *1\n dog *2\n others *2\n")
    assert second.rows == 2, "the last line comes with the segmentation"
    assert second.grid.select("dog").tolist() == [[True, True, False], [False, True, False]]


def test_what_the_work_tells_comes_in_order() -> None:
    segmentation = Segmenter(chat())(IMAGE, "the dog")

    def work(on_text: object) -> Segmentation:
        assert callable(on_text)
        for text in (b"a", b"ab"):
            on_text(text)
        return segmentation

    assert list(in_background(work)) == [b"a", b"ab", segmentation]
