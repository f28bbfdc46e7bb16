"""What is guessed to follow a mask text."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codec.strategies import grids
from text4seg.codec import get_format
from text4seg.codec.line_guesses import read_row, repeat_image, repeat_rows, write_row
from text4seg.core.types import DescriptorGrid

# beartype, which checks array shapes in tests, draws random numbers where grids are made.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SIZE = (4, 16)


def guessed(
    text: str, shape: tuple[int, int] | None = None, pieces: int = 2, *, runs: bool = True
) -> str:
    guess = repeat_rows(text.encode(), shape, runs=runs)
    return b"".join(islice(guess, pieces)).decode()


ABOVE = "others *4| dog *8| others *4\n"
COPY = " others *4| dog *8| others *4\n"

RUNS = [
    pytest.param("", COPY + COPY, "a row begins: copy", id="begin"),
    pytest.param(" ", COPY[1:] + COPY, "the space stands there", id="space"),
    pytest.param(" oth", COPY[4:] + COPY, "within a label", id="label"),
    pytest.param(" others *4| dog *", COPY[17:] + COPY, "within a run", id="count"),
    pytest.param(" others *4|", COPY[11:] + COPY, "before the space of a separator", id="bar"),
    pytest.param(
        " others *3| dog",
        " *9| others *4\n others *3| dog *9| others *4\n",
        "the next end stays where it is",
        id="grown to the left",
    ),
    pytest.param(
        " others *6| ",
        "dog *6| others *4\n others *6| dog *6| others *4\n",
        "the same for a run that starts later",
        id="shrunk",
    ),
    pytest.param(
        " others *1",
        "| dog *11| others *4\n others *1| dog *11| others *4\n",
        "the digit is kept, the nearest count with it taken",
        id="a digit",
    ),
    pytest.param(
        " others *14| ",
        "dog *1| others *1\n others *14| dog *1| others *1\n",
        "past all that was dog",
        id="past",
    ),
    pytest.param(
        " dog *",
        "12| others *4\n dog *12| others *4\n",
        "another label first: to where it ends above",
        id="other label",
    ),
    pytest.param(
        " cat *",
        "1| others *3| dog *8| others *4\n cat *1| others *3| dog *8| others *4\n",
        "a label never seen: one cell of it",
        id="new label",
    ),
    pytest.param(" cow", "", "no known label begins so", id="unknown"),
    pytest.param(
        " others *12| dog *",
        "1| others *3\n others *12| dog *1| others *3\n",
        "dog is over above",
        id="late",
    ),
    pytest.param(" others *17", "", "no count up to 16 begins so", id="too many"),
    pytest.param(" others *0", "", "no count begins with 0", id="zero"),
]


@pytest.mark.parametrize(("current", "expected", "why"), RUNS)
def test_rows_of_runs(current: str, expected: str, why: str) -> None:
    assert guessed(ABOVE + current) == expected, why


TOP = "others| others| dog| dog| dog| others\n"
CELLS = [
    pytest.param("", " " + TOP, "a row begins: copy", id="begin"),
    pytest.param(" oth", TOP[3:], "within a label", id="label"),
    pytest.param(" others| others|", TOP[15:], "before a separator's space", id="bar"),
    pytest.param(" dog", "| others| dog| dog| dog| others\n", "a cell that differs", id="differs"),
    pytest.param(" dog| ", "dog| dog| dog| dog| others\n", "dog until dog", id="grown left"),
    pytest.param(
        " others| others| others| ", "dog| dog| others\n", "one cell less", id="shrunk by one"
    ),
    pytest.param(
        " others| others| others| others| ", "others| others\n", "it vanishes", id="by two"
    ),
    pytest.param(" cat| ", "cat| cat| cat| cat| cat\n", "a new thing goes on", id="new"),
    pytest.param(" cow", "", "no known label begins so", id="unknown"),
    pytest.param(" " + TOP[:-1] + "|", "", "the row is full", id="full"),
]


@pytest.mark.parametrize(("current", "expected", "why"), CELLS)
def test_rows_of_cells(current: str, expected: str, why: str) -> None:
    assert guessed(TOP + current, pieces=1, runs=False) == expected, why


FIRST = [
    pytest.param("", SIZE, "", "nothing stands there", id="nothing"),
    pytest.param("others", (2, 3), "| others| others\n", "the cell again", id="cell"),
    pytest.param("others| dog| ", (2, 4), "dog| dog\n", "the cell before", id="cells"),
    pytest.param("others| dog", (2, 4), "| dog| dog\n", "a cell never seen", id="new cell"),
    pytest.param("others| dog", None, "| dog| dog", "without a shape: on and on", id="no shape"),
    pytest.param("others *", SIZE, "16\n", "the run fills the row", id="run"),
    pytest.param("others *9| dog *", SIZE, "7\n", "so does a later one", id="later run"),
    pytest.param("others *9|", SIZE, "", "the label is not known", id="no label"),
    pytest.param("others *1", SIZE, "6\n", "a digit is kept", id="digit"),
    pytest.param("others *7", SIZE, "", "what follows is not known", id="count"),
    pytest.param("others *", None, "", "runs of unknown width", id="runs without a shape"),
]


@pytest.mark.parametrize(("text", "shape", "expected", "why"), FIRST)
def test_the_first_row(text: str, shape: tuple[int, int] | None, expected: str, why: str) -> None:
    runs = " *" in text
    assert guessed(text, shape, 1 if shape is not None else 3, runs=runs) == expected, why


def test_the_first_row_is_copied_downwards() -> None:
    assert guessed("others *", (3, 7), pieces=3) == "7\n others *7\n others *7\n"
    assert guessed("dog", (3, 2), runs=False) == "| dog\n dog| dog\n"


IMAGES = [
    # Rows of four: o o d d / ...
    pytest.param("others *2| dog *2| ", "others *2| dog *2| others *2| dog *2", id="rows go on"),
    pytest.param("others *2| dog *2| others *", "2| dog *2| others *2| dog *2", id="a count"),
    pytest.param("others *2| dog *2| others *1| ", "dog *3| others *1| dog *3", id="moved"),
    pytest.param("others *12", "", id="within the first run"),
    pytest.param("others *5| ", "", id="no other label is known"),
    pytest.param("others *5| dog *", "1| others *3| dog *1| others *2", id="a new one"),
]


@pytest.mark.parametrize(("text", "expected"), IMAGES)
def test_runs_of_the_whole_image(text: str, expected: str) -> None:
    assert b"".join(repeat_image(text.encode(), (3, 4))).decode() == expected


@settings(max_examples=40)
@given(grids(), st.sampled_from(["sd", "rle", "rrle"]), st.booleans())
def test_a_guess_is_made_of_any_beginning(grid: DescriptorGrid, name: str, told: bool) -> None:
    """Whatever stands there, and whatever the labels look like: never an error, always UTF-8."""
    text, syntax = get_format(name).encode(grid).encode(), get_format(name).syntax
    shape = grid.shape if told else None
    for at in range(len(text) + 1):
        pieces = list(islice(syntax.repeat_lines(text[:at], shape), 3))
        assert all(pieces[1:])
    for junk in (b"\n", b"|", b"\n\n", b" *", b" *3", b"| ", b"\n *1| *2", b"\xff"):
        list(islice(syntax.repeat_lines(text + junk, shape), 3))


@given(grids(), st.sampled_from(["sd", "rrle"]))
def test_rows_are_read_and_written(grid: DescriptorGrid, name: str) -> None:
    for row in get_format(name).encode(grid).rstrip("\n").split("\n "):
        cells = read_row(row.encode())
        if name == "rrle" or not any(b" *" in cell for cell in cells):
            assert write_row(cells, runs=name == "rrle") == row.encode()
            assert len(cells) == grid.shape.cols
