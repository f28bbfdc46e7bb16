"""Salvage: whatever a model wrote, the rows that can be read are read, each on its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codec.strategies import GRID_FORMATS, damaged, grids
from text4seg.codec import Format
from text4seg.codec.answer import wrap
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SD, RLE, RRLE = GRID_FORMATS["sd"], GRID_FORMATS["rle"], GRID_FORMATS["rrle"]
BY_ROWS = pytest.mark.parametrize("form", [SD, RRLE], ids=["sd", "rrle"])
EVERY_FORMAT = pytest.mark.parametrize("form", GRID_FORMATS.values(), ids=GRID_FORMATS)
TALL = st.builds(GridShape, st.integers(2, 6), st.integers(2, 14))
LABELS = ["dog", "the cat"]

SHAPE = GridShape(3, 4)
TEXT = "others *2| dog *2\n others *1| dog *3\n others *4\n"
ROWS = ["ooDD", "oDDD", "oooo"]


def drawn(grid: DescriptorGrid) -> list[str]:
    """A grid as short strings: o for others, D for dog, C for the cat."""
    short = {OTHERS: "o", "dog": "D", "the cat": "C"}
    return ["".join(short.get(word, "?") for word in row) for row in grid.rows_of_labels()]


@pytest.mark.parametrize(
    ("old", "new", "rows", "repair"),
    [
        # A row that is too long or too short, alone.
        ("dog *3", "dog *4", ["ooDD", "oDDD", "oooo"], "row 2: 5 cells cut to 4"),
        ("dog *3", "dog *2", ["ooDD", "oDDD", "oooo"], "row 2: 3 cells filled up to 4 with 'dog'"),
        (
            "dog *3",
            "dog *1",
            ["ooDD", "oDoo", "oooo"],
            "row 2: 2 cells filled up to 4 with 'others'",
        ),
        ("others *2| dog *2", "others *4| dog *2", ["oooo", "oDDD", "oooo"], "row 1: 6 cells cut"),
        # Counts.
        ("dog *3", "dog *0", ["ooDD", "oooo", "oooo"], "row 2: a run of no cells dropped"),
        ("dog *3", "dog *03", ROWS, "row 2: the count '03' read as 3"),
        ("dog *3", "dog *٣", ROWS, "row 2: the count '٣' read as 3"),
        ("dog *3", "dog *+3", ROWS, "row 2: spacing put right"),
        ("dog *3", "dog", ROWS, "row 2: a missing separator or count put in"),
        ("dog *3", "dog *", ROWS, "row 2: a missing separator or count put in"),
        ("others *1| dog *3", "others| dog *3", ROWS, "row 2: a missing separator or count put in"),
        ("others *1| dog *3", "others| dog", ["ooDD", "ooDD", "oooo"], "row 2: a missing"),
        ("dog *3", "dog *" + "9" * 5000, ROWS, "row 2: the count"),
        # Separators and spacing.
        ("| ", " ", ROWS, "row 1: spacing put right"),
        ("| ", "", ROWS, "row 1: spacing put right"),
        ("| ", "||", ROWS, "row 1: an empty place between separators skipped"),
        ("| ", "| | ", ROWS, "row 1: an empty place between separators skipped"),
        (" *", "*", ROWS, "row 1: spacing put right"),
        ("*", "* ", ROWS, "row 1: spacing put right"),
        ("\n ", "\n", ROWS, "row 2: spacing put right"),
        ("\n ", " ", ROWS, "row 2: a missing line break put in"),
        ("\n ", "| ", ROWS, "row 2: a missing line break put in"),
        ("\n", "\n\n", ROWS, "text: blank lines left out"),
        ("\n", "\r\n", ROWS, "text: line ends put right"),
        ("\n", "\r", ROWS, "text: line ends put right"),
        ("dog *3", "dog *2| dog *1", ROWS, "row 2: neighbouring runs of 'dog' joined"),
        # Words.
        ("dog *2", "Dog *2", ROWS, "row 1: 'Dog' read as 'dog'"),
        ("dog *2", "dgo *2", ROWS, "row 1: 'dgo' read as 'dog'"),
        ("dog *2", "the dog *2", ROWS, "row 1: 'the dog' read as 'dog'"),
        ("dog *2", "**dog** *2", ROWS, "row 1: '**dog**' read as 'dog'"),
        ("others", "other", ROWS, "row 1: 'other' read as 'others'"),
        ("dog *2", "zebra *2", ["oooo", "oDDD", "oooo"], "row 1: 'zebra' read as 'others'"),
        ("dog *2", "*2", ["oooo", "oDDD", "oooo"], "row 1: '' read as 'others'"),
        # Rows.
        (" others *1| dog *3", " ???", ["ooDD", "oooo", "oooo"], "row 2: unreadable"),
        (" others *1| dog *3", "", ["ooDD", "oooo", "oooo"], "row 2: unreadable"),
        ("others *2| dog *2", "", ["oooo", "oDDD", "oooo"], "row 1: unreadable"),
        (" others *4\n", "", ROWS, "row 3: missing, filled with 'others'"),
        (" others *4\n", " others *4\n dog *4\n", ROWS, "text: lines left out: 1"),
    ],
)
def test_one_kind_of_damage(old: str, new: str, rows: list[str], repair: str) -> None:
    text = TEXT.replace(old, new)
    assert text != TEXT
    with pytest.raises(MaskSyntaxError):
        RRLE.decode(text, SHAPE, ["dog"])
    salvage = RRLE.salvage(text, SHAPE, ["dog"])
    assert drawn(salvage.value) == rows
    assert any(str(found).startswith(repair) for found in salvage.repairs), salvage.repairs


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ("others| dog| dog| dog", "others| dog| dog", ["ooDD", "oDDD", "oooo"]),
        ("others| dog| dog| dog", "others| dog| dog| dog| dog", ["ooDD", "oDDD", "oooo"]),
        ("others| dog| dog| dog", "others", ["ooDD", "oooo", "oooo"]),
        ("| ", "|", ROWS),
        ("| ", " ", ROWS),
        ("| dog| dog| dog", "| dog *3", ROWS),
        ("\n ", "\n", ROWS),
        ("\n ", "| ", ROWS),
        ("dog", "dgo", ROWS),
    ],
)
def test_damage_to_full_descriptors(old: str, new: str, rows: list[str]) -> None:
    grid = RRLE.decode(TEXT, SHAPE)
    text = SD.encode(grid).replace(old, new)
    salvage = SD.salvage(text, SHAPE, ["dog"])
    assert drawn(salvage.value) == rows
    assert salvage.repairs


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("others *2| dog *2| others *1| dog *3", ["ooDD", "oDDD", "oooo"]),  # too short
        ("others *2| dog *2| others *1| dog *7", ["ooDD", "oDDD", "DDDD"]),
        ("others *2| dog *2| others *1| dog *9", ["ooDD", "oDDD", "DDDD"]),  # too long
        ("others *2| dog| others *1| dog *3| others *4", ROWS),  # one open count
        (TEXT, ROWS),  # rrle
        ("others *2| dog *2| dog *2| othe", ["ooDD", "DDoo", "oooo"]),  # cut
        ("", ["oooo", "oooo", "oooo"]),
    ],
)
def test_damage_to_image_wise_runs(text: str, rows: list[str]) -> None:
    salvage = RLE.salvage(text, SHAPE, ["dog"])
    assert drawn(salvage.value) == rows
    assert bool(salvage.repairs) == (text != "others *2| dog *2| others *1| dog *7")


@pytest.mark.parametrize(
    "wrong",
    ["others *2| dog *2| others *1| dog *3| others *4", SD.encode(RRLE.decode(TEXT, SHAPE))],
    ids=["rle", "sd"],
)
def test_another_format_is_read(wrong: str) -> None:
    salvage = RRLE.salvage(wrong, SHAPE, ["dog"])
    assert drawn(salvage.value) == ROWS
    assert salvage.repairs


SURROUNDINGS: dict[str, Callable[[str], str]] = {
    "an answer": lambda text: "Here it is:\n" + wrap(text),
    "no closing mark": lambda text: "Here it is:\n<seg>" + text,
    "half a closing mark": lambda text: "<seg>" + text + "</se",
    "no opening mark": lambda text: text + "</seg>",
    "words after it": lambda text: "Sure! " + wrap(text) + "\nAnything else?",
    "line breaks inside": lambda text: "<seg>\n" + text + "\n</seg>",
    "a fence": lambda text: "Here it is:\n```text\n" + text.rstrip("\n") + "\n```\nDone.",
    "a fence in the marks": lambda text: wrap("\n```\n" + text.rstrip("\n") + "\n```\n"),
    "prose alone": lambda text: "Here is the mask:\n\n" + text.rstrip("\n") + "\n\nGood luck!",
    "windows": lambda text: text.replace("\n", "\r\n"),
    "an earlier block": lambda text: wrap("others *1\n") + " or rather " + wrap(text),
    "an unfinished later block": lambda text: wrap(text) + "\n<seg>others",
    "spaces": lambda text: "  " + text + "  \n",
}


@EVERY_FORMAT
@pytest.mark.parametrize("around", SURROUNDINGS.values(), ids=SURROUNDINGS)
@settings(max_examples=10)
@given(grid=grids(TALL, LABELS))
def test_surroundings_are_taken_away(
    form: Format, around: Callable[[str], str], grid: DescriptorGrid
) -> None:
    text = around(form.encode(grid))
    salvage = form.salvage(text, grid.shape, LABELS)
    assert salvage.value == grid
    assert bool(salvage.repairs) == (text != form.encode(grid))


@BY_ROWS
@pytest.mark.parametrize("labels", [LABELS, None], ids=["closed", "open"])
@given(grid=grids(TALL, LABELS), data=st.data())
def test_a_damaged_row_harms_no_other(
    form: Format, labels: list[str] | None, grid: DescriptorGrid, data: st.DataObject
) -> None:
    lines = form.encode(grid).split("\n")[:-1]
    hurt = data.draw(st.integers(0, len(lines) - 1))
    line = data.draw(damaged(lines[hurt], LABELS) | st.text(max_size=20))
    lines[hurt] = line.replace("\n", "").replace("\r", "")
    salvage = form.salvage("\n".join(lines) + "\n", grid.shape, labels)
    for row, (found, true) in enumerate(
        zip(salvage.value.rows_of_labels(), grid.rows_of_labels(), strict=True)
    ):
        assert row == hurt or found == true
    assert all(repair.row in (None, hurt) for repair in salvage.repairs)


@EVERY_FORMAT
@pytest.mark.parametrize("opened", ["", "The mask:\n<seg>"])
@given(grid=grids(TALL, LABELS), data=st.data())
def test_a_cut_harms_only_what_follows(
    form: Format, opened: str, grid: DescriptorGrid, data: st.DataObject
) -> None:
    text = form.encode(grid)
    cut = data.draw(st.integers(0, len(text) - 1))
    salvage = form.salvage(opened + text[:cut], grid.shape, LABELS)
    whole = _cells_before(form, grid, cut)
    found = list(chain.from_iterable(salvage.value.rows_of_labels()))
    assert found[:whole] == list(chain.from_iterable(grid.rows_of_labels()))[:whole]
    assert all(repair.row is None or repair.row >= 0 for repair in salvage.repairs)
    if form is not RLE:
        rows_begun = text[:cut].count("\n") + 1
        assert set(found[rows_begun * grid.shape.cols :]) <= {OTHERS}


def _cells_before(form: Format, grid: DescriptorGrid, cut: int) -> int:
    """The cells whose runs (or, by rows, whose rows) end before the cut."""
    text = form.encode(grid)[:cut]
    if form is RLE:
        runs = text.split("| ")[:-1]
        return sum(int(run.rpartition("*")[2]) for run in runs)
    return text.count("\n") * grid.shape.cols


@BY_ROWS
@given(grid=grids(TALL, LABELS), data=st.data())
def test_missing_rows_are_reported_and_the_others_stay(
    form: Format, grid: DescriptorGrid, data: st.DataObject
) -> None:
    rows, cols = grid.shape.rows, grid.shape.cols
    kept = data.draw(st.integers(1, rows - 1))
    text = "\n".join(form.encode(grid).split("\n")[:kept]) + "\n"
    salvage = form.salvage(text, grid.shape, LABELS)
    words = salvage.value.rows_of_labels()
    assert words == grid.rows_of_labels()[:kept] + [[OTHERS] * cols] * (rows - kept)
    assert [repair.row for repair in salvage.repairs] == list(range(kept, rows))


@BY_ROWS
@given(grid=grids(TALL, LABELS), extra=st.integers(1, 5))
def test_rows_too_many_are_left_out(form: Format, grid: DescriptorGrid, extra: int) -> None:
    text = form.encode(grid)
    last = text.rstrip("\n").split("\n")[-1].strip()
    salvage = form.salvage(text + f" {last}\n" * extra, grid.shape, LABELS)
    assert salvage.value == grid
    assert [str(repair) for repair in salvage.repairs] == [f"text: lines left out: {extra}"]


@given(
    grid=grids(TALL, LABELS),
    row=st.integers(0, 1),
    by=st.integers(-3, 3).filter(bool),
)
def test_a_row_of_another_length(grid: DescriptorGrid, row: int, by: int) -> None:
    """A last count that is `by` off leaves all cells but the last `-by` as they are."""
    lines = RRLE.encode(grid).split("\n")[:-1]
    head, _, count = lines[row].rpartition("*")
    lines[row] = f"{head}*{max(int(count) + by, 0)}"
    salvage = RRLE.salvage("\n".join(lines) + "\n", grid.shape, LABELS)
    found, true = salvage.value.rows_of_labels(), grid.rows_of_labels()
    safe = grid.shape.cols - max(0, min(-by, int(count)))
    assert found[row][:safe] == true[row][:safe]
    assert found[:row] + found[row + 1 :] == true[:row] + true[row + 1 :]
    assert {repair.row for repair in salvage.repairs} == {row}


def test_lines_are_taken_apart_only_where_rows_are_missing() -> None:
    double = "others *4| others *4\n dog *4| others *4\n"
    salvage = RRLE.salvage(double, SHAPE, ["dog"])
    assert drawn(salvage.value) == ["oooo", "oooo", "DDDD"]  # there is room for one more row
    assert str(salvage.repairs[-1]) == "row 3: 8 cells cut to 4"


def test_where_image_wise_runs_end_is_reported() -> None:
    for text, row in (("others *3", 0), ("others *4", 1), ("others *11", 2), ("others *13", 2)):
        assert [repair.row for repair in RLE.salvage(text, SHAPE, ["dog"]).repairs] == [row]


TALLER = GridShape(6, 4)
SIX = ["others *4", "dog *4", "others *1| dog *3", "dog *2| others *2", "dog *4", "others *4"]


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        # A blank line between words around the mask is a damaged row if it makes up the number,
        (
            ["Here:", *SIX[:2], "", *SIX[3:], "Done.", "Bye."],
            ["oooo", "DDDD", "oooo", "DDoo", "DDDD", "oooo"],
        ),
        # but where blank lines stand everywhere they are only doubled line breaks.
        (
            ["Here:", SIX[0], "", SIX[1], "", SIX[2], ""],
            ["oooo", "DDDD", "oDDD", "oooo", "oooo", "oooo"],
        ),
        # An unreadable line keeps its place between rows, and before them.
        (
            ["Here:", *SIX[:2], "###", *SIX[3:], "Done."],
            ["oooo", "DDDD", "oooo", "DDoo", "DDDD", "oooo"],
        ),
        (["###", *SIX[1:4]], ["oooo", "DDDD", "oDDD", "DDoo", "oooo", "oooo"]),
        # Lines of little trust are taken for prose where there are rows enough.
        (["dog|", *SIX, "dog|"], ["oooo", "DDDD", "oDDD", "DDoo", "DDDD", "oooo"]),
    ],
)
def test_which_line_is_which_row(lines: list[str], rows: list[str]) -> None:
    first = next(at for at, line in enumerate(lines) if line in (SIX[0], "###"))
    spaced = [line if at <= first or not line else " " + line for at, line in enumerate(lines)]
    salvage = RRLE.salvage("\n".join(spaced) + "\n", TALLER, ["dog"])
    assert drawn(salvage.value) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("others| others| dog| do", [[OTHERS, OTHERS, "dog", "do"]]),  # full: it may be a label
        ("others| others| do", [[OTHERS, OTHERS, OTHERS, OTHERS]]),  # short: it may be half of one
        ("others| others| dog\n", [[OTHERS, OTHERS, "dog", "dog"]]),  # not cut there
    ],
)
def test_a_cut_word_among_open_labels(text: str, rows: list[list[str]]) -> None:
    salvage = SD.salvage(text, GridShape(1, 4))
    assert salvage.value.rows_of_labels() == rows


def test_prose_among_open_labels() -> None:
    prose = "Two | choices *1\n"
    text = prose + "others *2| dog *6\n others *8\n"
    salvage = RRLE.salvage(text, GridShape(2, 8))
    assert salvage.value == RRLE.decode("others *2| dog *6\n others *8\n", GridShape(2, 8))


def test_open_labels_are_cleaned_or_given_up() -> None:
    salvage = RRLE.salvage("others *2| the  red\tdog *2| \n", GridShape(1, 4))
    assert salvage.value.rows_of_labels() == [[OTHERS, OTHERS, "the red dog", "the red dog"]]
    assert RRLE.salvage("others *2| *2\n", GridShape(1, 4)).value.is_empty


GARBAGE = {
    "letters": "a",
    "spaces": " ",
    "separators": "|",
    "line breaks": "\n",
    "stars": "*",
    "stars and spaces": "* ",
    "digits": "*9",
    "runs": "dog *1| ",
    "rows": "others *16\n ",
    "words": "dog ",
    "marks": "<seg>",
    "closing marks": "</seg>",
    "both marks": "</seg><seg>",
    "fences": "```\n",
    "unknown words": "zebra *1| ",
    "unknown rows": "zebra\n ",
    "half marks": "<",
    "carriage returns": "\r",
}


@EVERY_FORMAT
@pytest.mark.parametrize("piece", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("size", [100_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_garbage_takes_linear_time(form: Format, piece: str, size: int) -> None:
    text = piece * (size // len(piece))
    for labels in (["dog"], None):
        start = time.process_time()
        salvage = form.salvage(text, GridShape(16, 16), labels)
        # Measured: 0.5 s for 1 MB at worst; a quadratic reader would take hours for 10 MB.
        assert time.process_time() - start < 2 + size / 250_000
        assert salvage.value.shape == GridShape(16, 16)
        assert len(salvage.repairs) < 2000


@EVERY_FORMAT
@pytest.mark.parametrize("shape", [GridShape(32, 32), GridShape(256, 256)], ids=str)
def test_many_unknown_words_and_labels_take_bounded_time(form: Format, shape: GridShape) -> None:
    labels = [f"label number {at}" for at in range(150)]
    text = "".join(f"lable nmber {at} *1| " for at in range(20_000))
    start = time.process_time()
    salvage = form.salvage(text, shape, labels)
    assert time.process_time() - start < 5  # measured: 0.7 s
    assert len(salvage.repairs) < 400
