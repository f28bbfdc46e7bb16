"""The layout of texts, against a plain writer that notes where everything stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby, islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codec.strategies import GRID_FORMATS, TRICKY, grids
from text4seg.codec import FORMATS, LineSyntax, OpenRun, Span, Unit, get_format
from text4seg.core.errors import InputError
from text4seg.core.regions import LatticeBox, Region, Regions
from text4seg.core.types import DescriptorGrid, GridShape

# beartype, which checks array shapes in tests, draws random numbers where grids are made.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

COLUMNS = LineSyntax(has_counts=True, scope="column")
SYNTAXES = {name: form.syntax for name, form in GRID_FORMATS.items()} | {
    "columns of runs": COLUMNS,
    "columns of cells": LineSyntax(has_counts=False, scope="column"),
}
EVERY_SYNTAX = pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
WITH_COUNTS = [syntax for syntax in SYNTAXES.values() if syntax.has_counts]
BY_LINES = [syntax for syntax in SYNTAXES.values() if syntax.scope != "image"]
PLAIN = ["dog", "dog house", "cat 2", "t-shirt"]
"""Labels that no beginning of a text confuses with a count."""


@dataclass
class Plain:
    """A text, written piece by piece, and what stands in it."""

    text: bytes = b""
    spans: list[tuple[str, str]] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)

    def add(self, kind: str, piece: str) -> int:
        self.spans.append((kind, piece))
        start = len(self.text)
        self.text += piece.encode()
        return start


def lines_of(syntax: LineSyntax, grid: DescriptorGrid) -> list[list[str]]:
    rows = grid.rows_of_labels()
    return (
        [list(column) for column in zip(*rows, strict=True)] if syntax.scope == "column" else rows
    )


def write(syntax: LineSyntax, grid: DescriptorGrid) -> Plain:
    """The plain twin of the writers."""
    lines = lines_of(syntax, grid)
    stretches = [list(chain.from_iterable(lines))] if syntax.scope == "image" else lines
    plain = Plain()
    for number, cells in enumerate(stretches):
        if number:
            plain.add("separator", "\n ")
        first = 0
        runs = [(label, len(list(run))) for label, run in groupby(cells)]
        pieces = runs if syntax.has_counts else [(label, 1) for label in cells]
        for label, length in pieces:
            if first:
                plain.add("separator", "| ")
            start = plain.add("label", label)
            end, count_start, closing = len(plain.text), None, b"|"
            if syntax.has_counts:
                plain.add("separator", " *")
                count_start, closing = plain.add("count", str(length)), b" *"
            elif first + length == len(cells):
                closing = b"\n"
            plain.units.append(Unit(start, end, count_start, number, first, length, closing))
            first += length
    if syntax.scope != "image":
        plain.add("separator", "\n")
    return plain


def sample(
    labels: list[str], syntax: LineSyntax
) -> st.SearchStrategy[tuple[DescriptorGrid, Plain]]:
    return grids(labels=labels).map(lambda grid: (grid, write(syntax, grid)))


@pytest.mark.parametrize("name", GRID_FORMATS)
@given(grid=grids())
def test_the_plain_writer_writes_as_the_formats_do(name: str, grid: DescriptorGrid) -> None:
    assert write(SYNTAXES[name], grid).text.decode() == GRID_FORMATS[name].encode(grid)


def test_the_shapes_of_a_text() -> None:
    shape = GridShape(3, 5)
    found = {
        name: (syntax.has_counts, str(syntax.line_shape(shape)), syntax.run_width(shape))
        for name, syntax in SYNTAXES.items()
    }
    assert found == {
        "sd": (False, "3x5", 5),
        "rle": (True, "3x5", 15),
        "rrle": (True, "3x5", 5),
        "columns of runs": (True, "5x3", 3),
        "columns of cells": (False, "5x3", 3),
    }
    assert all(syntax.covers_image for syntax in SYNTAXES.values())


@EVERY_SYNTAX
def test_cells_are_reordered_and_put_back(syntax: LineSyntax) -> None:
    shape = GridShape(3, 5)
    for cells in (np.arange(15).reshape(3, 5), np.arange(30).reshape(2, 3, 5)):
        lines = syntax.to_lines(cells)
        sides = syntax.line_shape(shape)
        assert lines.shape[-2:] == (sides.rows, sides.cols)
        assert np.array_equal(syntax.from_lines(lines), cells)
    flat = syntax.to_lines(np.arange(15).reshape(3, 5)).ravel().tolist()
    by_columns = [0, 5, 10, 1, 6, 11, 2, 7, 12, 3, 8, 13, 4, 9, 14]
    assert flat == (by_columns if syntax.scope == "column" else list(range(15)))


@EVERY_SYNTAX
@given(data=st.data())
def test_settled_cells_are_those_whose_end_is_written(
    syntax: LineSyntax, data: st.DataObject
) -> None:
    grid, plain = data.draw(sample(TRICKY, syntax))
    ends = [
        (unit.label_end if unit.count_start is None else unit.count_start + len(str(unit.length)))
        for unit in plain.units
    ]
    labels = [plain.text[unit.start : unit.label_end] for unit in plain.units]
    for at in range(len(plain.text) + 1):
        settled = [
            label
            for label, unit, end in zip(labels, plain.units, ends, strict=True)
            if at > end
            for _ in range(unit.length)
        ]
        assert syntax.settled_cells(plain.text[:at], grid.shape) == settled, plain.text[:at]


@EVERY_SYNTAX
@given(data=st.data())
def test_a_right_grid_completes_any_beginning(syntax: LineSyntax, data: st.DataObject) -> None:
    grid, plain = data.draw(sample(PLAIN, syntax))
    lines = [[cell.encode() for cell in line] for line in lines_of(syntax, grid)]
    for at in range(len(plain.text)):
        rest = b"".join(syntax.complete(plain.text[:at], lines, grid.shape))
        assert plain.text[:at] + rest == plain.text


@pytest.mark.parametrize("syntax", BY_LINES)
@given(data=st.data())
def test_equal_lines_are_repeated_to_the_end(syntax: LineSyntax, data: st.DataObject) -> None:
    line = data.draw(grids(st.builds(GridShape, st.just(1), st.integers(1, 12)), PLAIN))
    count = data.draw(st.integers(2, 5))
    rows = [line.rows_of_labels()[0]] * count
    if syntax.scope == "column":
        rows = [list(row) for row in zip(*rows, strict=True)]
    grid = DescriptorGrid.from_rows(rows)
    text = write(syntax, grid).text
    for at in range(text.index(b"\n") + 1, len(text)):
        assert text[:at] + b"".join(syntax.repeat_lines(text[:at], grid.shape)) == text
        endless = list(islice(syntax.repeat_lines(text[:at], None), count))
        assert (text[:at] + b"".join(endless)).startswith(text)


def test_lines_of_the_whole_image_are_repeated() -> None:
    shape = GridShape(3, 4)
    begun = b"others *2| dog *2| "
    assert (
        b"".join(SYNTAXES["rle"].repeat_lines(begun, shape))
        == b"others *2| dog *2| others *2| dog *2"
    )
    assert list(SYNTAXES["rle"].repeat_lines(begun, None)) == []


@EVERY_SYNTAX
@given(data=st.data())
def test_a_run_is_open_while_its_count_is_written(syntax: LineSyntax, data: st.DataObject) -> None:
    grid, plain = data.draw(sample(PLAIN, syntax))
    text, width = plain.text, syntax.run_width(grid.shape)
    expected: dict[int, OpenRun] = {}
    for unit in plain.units:
        if unit.count_start is None:
            continue
        label = text[unit.start : unit.label_end]
        for at in range(unit.count_start, unit.count_start + len(str(unit.length)) + 1):
            digits = text[unit.count_start : at]
            expected[at] = OpenRun(label, digits, unit.label_end, width - unit.first)
    for at in range(len(text) + 1):
        assert syntax.open_run(text[:at], grid.shape) == expected.get(at)


@EVERY_SYNTAX
@given(data=st.data())
def test_units_stand_where_they_were_written(syntax: LineSyntax, data: st.DataObject) -> None:
    grid, plain = data.draw(sample(TRICKY, syntax))
    assert list(syntax.units(plain.text, grid.shape)) == plain.units


@EVERY_SYNTAX
@given(data=st.data())
def test_an_incomplete_text_has_no_units(syntax: LineSyntax, data: st.DataObject) -> None:
    grid, plain = data.draw(sample(PLAIN, syntax))
    for at in range(len(plain.text)):
        with pytest.raises(InputError, match="of this grid"):
            list(syntax.units(plain.text[:at], grid.shape))


@pytest.mark.parametrize(
    "text",
    [b"others *5\n others *4\n", b"others *0| dog *4\n others *4\n", b"others *3\n others *4\n"],
    ids=["too many", "no cells", "too few"],
)
def test_runs_of_another_width_have_no_units(text: bytes) -> None:
    with pytest.raises(InputError, match="runs of this grid"):
        list(SYNTAXES["rrle"].units(text, GridShape(2, 4)))


@EVERY_SYNTAX
@given(data=st.data())
def test_lines_end_where_their_cells_are_settled(syntax: LineSyntax, data: st.DataObject) -> None:
    grid, plain = data.draw(sample(PLAIN, syntax))
    text, shape = plain.text, grid.shape
    ends = syntax.line_ends(text, shape)
    assert ends == sorted(ends)
    lines = syntax.line_shape(shape)
    if syntax.scope == "image":
        totals = list(accumulate(unit.length for unit in plain.units[:-1]))
        assert len(ends) == (totals[-1] if totals else 0) // lines.cols
    else:
        assert ends == [at for at in range(1, len(text) + 1) if text[at - 1 : at] == b"\n"]
        assert len(ends) == lines.rows
    for number, end in enumerate(ends, 1):
        assert len(syntax.settled_cells(text[:end], shape)) >= number * lines.cols


def test_runs_over_several_rows_complete_them_together() -> None:
    text = b"others *5| dog *7| others *3"
    assert SYNTAXES["rle"].line_ends(text, GridShape(5, 3)) == [11, 19, 19, 19]


class TestCursor:
    @pytest.mark.parametrize("syntax", BY_LINES)
    @given(data=st.data())
    def test_pieces_do_not_matter(self, syntax: LineSyntax, data: st.DataObject) -> None:
        grid, plain = data.draw(sample(PLAIN, syntax))
        text = plain.text
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        by_bytes, by_pieces = (syntax.cursor(grid.shape) for _ in range(2))
        assert by_bytes is not None
        assert by_pieces is not None
        start = 0
        for cut in [*cuts, len(text)]:
            for byte in text[start:cut]:
                by_bytes.feed(bytes([byte]))
            by_pieces.feed(text[start:cut])
            start = cut
            assert by_bytes.key() == by_pieces.key()

    def key(self, text: bytes, shape: GridShape, syntax: LineSyntax = SYNTAXES["rrle"]) -> object:
        cursor = syntax.cursor(shape)
        assert cursor is not None
        cursor.feed(text)
        return cursor.key()

    def test_inner_lines_are_alike_and_others_are_not(self) -> None:
        shape, line = GridShape(6, 4), b" others *4\n"
        keys = [self.key(line[1:] + line * count, shape) for count in range(6)]
        # In lines 2 to 5; in the last one; past the end.
        assert keys[0] == keys[1] == keys[2] == keys[3]
        assert len({*keys[3:], self.key(b"", shape)}) == 4

    def test_what_stands_in_the_line_tells_places_apart(self) -> None:
        shape = GridShape(9, 9)
        first = b"others *9\n"
        lines = [b"", b" ", b" dog", b" dog *", b" dog *3|", b" others *3|", b" dog *4|",
                 b" dog *3| others *1|"]  # fmt: skip
        assert len({self.key(first + line, shape) for line in lines}) == len(lines)
        # The cells that lead there do not matter: their number and the last label do.
        one, other = b" dog *2| cat *3|", b" cat *1| dog *1| cat *3|"
        assert self.key(first + one, shape) == self.key(first + other, shape)

    def test_a_copy_stays(self) -> None:
        cursor = SYNTAXES["sd"].cursor(GridShape(2, 3))
        assert cursor is not None
        cursor.feed(b"others| ")
        copy = cursor.copy()
        cursor.feed(b"dog| ")
        assert copy.key() != cursor.key()
        copy.feed(b"cat| ")
        assert copy.key() == cursor.key(), "cells without counts are only counted"

    def test_columns_are_counted_as_lines(self) -> None:
        shape = GridShape(4, 2)
        assert self.key(b"others *4\n", shape, COLUMNS) != self.key(b"", shape, COLUMNS)
        last = self.key(b"others *4\n", GridShape(4, 2), COLUMNS)
        assert last == self.key(b"others *4\n others *4\n", GridShape(4, 3), COLUMNS)

    def test_runs_of_the_whole_image_have_none(self) -> None:
        assert SYNTAXES["rle"].cursor(GridShape(2, 2)) is None


def check_gapless(text: str, spans: list[Span]) -> None:
    assert "".join(text[span.start : span.end] for span in spans) == text
    for before, after in pairwise(spans):
        assert before.end == after.start
    assert all(span.start < span.end for span in spans)


@EVERY_SYNTAX
@given(data=st.data())
def test_spans_are_the_pieces_that_were_written(syntax: LineSyntax, data: st.DataObject) -> None:
    _, plain = data.draw(sample(TRICKY, syntax))
    text = plain.text.decode()
    spans = list(syntax.spans(text))
    check_gapless(text, spans)
    assert [(span.kind, text[span.start : span.end]) for span in spans] == plain.spans


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=100)
@given(text=st.text(alphabet=st.sampled_from("ab1290 *|\n[]-,é"), max_size=40))
def test_spans_of_any_text_leave_no_gap(name: str, text: str) -> None:
    check_gapless(text, list(get_format(name).syntax.spans(text)))


class TestBoxes:
    """Boxes have cells of their own."""

    SYNTAX = get_format("box").syntax
    SHAPE = GridShape(1, 4)

    @pytest.mark.parametrize("label", ["dog", "t-shirt", "x-12", "12-30", "cat 2", "a *b", "[x]"])
    def test_edges_and_counts_are_counts(self, label: str) -> None:
        grid = DescriptorGrid.from_rows([["others", label, label, label]])
        regions = Regions((Region(LatticeBox(12, 30, 4, 61), grid),) * 2)
        text = get_format("box").encode(regions)
        spans = list(self.SYNTAX.spans(text))
        check_gapless(text, spans)
        head = [("separator", "["), ("count", "12"), ("separator", "-"), ("count", "30"),
                ("separator", ", "), ("count", "04"), ("separator", "-"), ("count", "61"),
                ("separator", "]"), ("separator", "\n ")]  # fmt: skip
        row = [("label", "others"), ("separator", " *"), ("count", "1"), ("separator", "| "),
               ("label", label), ("separator", " *"), ("count", "3"),
               ("separator", "\n")]  # fmt: skip
        found = [(span.kind, text[span.start : span.end]) for span in spans]
        assert found == [*head, *row] * 2

    def test_nothing_is_known_of_cells_of_the_image(self) -> None:
        syntax, shape = self.SYNTAX, self.SHAPE
        text = b"[12-30, 04-61]\n others *4\n"
        assert (syntax.covers_image, syntax.has_counts) == (False, True)
        assert (syntax.line_shape(shape), syntax.run_width(shape)) == (shape, 4)
        assert syntax.settled_cells(text, shape) == []
        assert list(syntax.complete(text, [[b"dog"] * 4], shape)) == []
        assert list(syntax.repeat_lines(text, shape)) == []
        assert syntax.open_run(text[:-2], shape) is None
        assert list(syntax.units(text, shape)) == []
        assert syntax.line_ends(text, shape) == []
        assert syntax.cursor(shape) is None
        cells = np.arange(4).reshape(1, 4)
        assert np.array_equal(syntax.to_lines(cells), cells)
        assert np.array_equal(syntax.from_lines(cells), cells)
