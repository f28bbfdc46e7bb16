"""Grammars against the strict reader: by llguidance, by its converter from GBNF, and by `re`."""

from __future__ import annotations

import random
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codec.matcher import Matcher, bnf_to_lark
from tests.codec.strategies import GRID_FORMATS, damaged, grids
from tests.codec.test_contracts import EVERY_FORMAT, accepts, language
from text4seg.codec import NOTATIONS, Format
from text4seg.codec.answer import SEG_CLOSE
from text4seg.core.errors import GrammarError, MaskSyntaxError, UnknownNameError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SD, RLE, RRLE = GRID_FORMATS["sd"], GRID_FORMATS["rle"], GRID_FORMATS["rrle"]

CASES = [
    pytest.param(GridShape(2, 3), ["dog"], id="two rows"),
    pytest.param(GridShape(2, 2), ["dog", "dog house"], id="one label begins another"),
    pytest.param(GridShape(3, 1), ["x"], id="one column"),
    pytest.param(GridShape(1, 1), ["x"], id="one cell"),
    pytest.param(GridShape(2, 2), [], id="others alone"),
    pytest.param(GridShape(2, 2), ["x", "x", OTHERS], id="labels twice"),
    pytest.param(GridShape(1, 3), ["a *b", "*3", "a *"], id="stars in labels"),
    pytest.param(GridShape(1, 2), ['"q" \\n', "狗", "[x].+?^$/(y)", "a\tb"], id="escapes"),
]
MORE_CASES = [
    *CASES,
    pytest.param(GridShape(1, 11), ["a"], id="two-digit counts"),
    pytest.param(GridShape(1, 2), ["a\0b", "\x01\x7f"], id="control characters"),
]


def random_grid(shape: GridShape, labels: list[str], seed: int) -> DescriptorGrid:
    """A grid of runs of many lengths."""
    source = random.Random(seed)
    cells: list[int] = []
    while len(cells) < shape.cells:
        cells += [source.randrange(len(labels) + 1)] * source.choice([1, 2, 3, 7, 30])
    array = np.array(cells[: shape.cells]).reshape(shape.rows, shape.cols)
    return DescriptorGrid.build([OTHERS, *labels], array)


def compiled(form: Format, shape: GridShape, labels: list[str] | None) -> Matcher:
    """The matcher of a grammar, compiled once."""
    key = (form.name, shape, None if labels is None else tuple(labels))
    if key not in _COMPILED:
        _COMPILED[key] = Matcher(form.grammar(shape, labels))
    return _COMPILED[key]


_COMPILED: dict[tuple[str, GridShape, tuple[str, ...] | None], Matcher] = {}


@EVERY_FORMAT
@pytest.mark.parametrize(("shape", "labels"), MORE_CASES)
def test_lark_is_the_language(form: Format, shape: GridShape, labels: list[str]) -> None:
    texts = language(form, shape, labels)
    assert Matcher(form.grammar(shape, labels)).check_language(texts) > len(texts)


@EVERY_FORMAT
@pytest.mark.parametrize(("shape", "labels"), CASES)
@pytest.mark.parametrize("notation", ["gbnf", "ebnf"])
def test_bnf_is_the_language(
    form: Format, shape: GridShape, labels: list[str], notation: str
) -> None:
    lark = bnf_to_lark(form.grammar(shape, labels, notation))  # type: ignore[arg-type]
    Matcher(lark).check_language(language(form, shape, labels))


@EVERY_FORMAT
@pytest.mark.parametrize(("shape", "labels"), CASES)
def test_regex_takes_the_language(form: Format, shape: GridShape, labels: list[str]) -> None:
    regex = re.compile(form.grammar(shape, labels, "regex"))
    assert all(regex.fullmatch(text) for text in language(form, shape, labels))


@EVERY_FORMAT
@given(data=st.data())
def test_regex_takes_what_decode_takes(form: Format, data: st.DataObject) -> None:
    labels = ["dog", "dog house"]
    for shape in (GridShape(2, 2), GridShape(1, 4)):
        regex = re.compile(form.grammar(shape, labels, "regex"))
        text = form.encode(data.draw(grids(st.just(shape), labels)))
        wrong = data.draw(damaged(text, labels))
        assert bool(regex.fullmatch(wrong)) == accepts(form, wrong, shape, labels)


LARGE = [
    (SD, GridShape(16, 16), 1),
    (SD, GridShape(8, 24), 150),
    (RLE, GridShape(8, 8), 2),
    (RRLE, GridShape(16, 16), 1),
    (RRLE, GridShape(4, 64), 1),
    (RRLE, GridShape(3, 32), 8),
    (RRLE, GridShape(2, 110), 2),
]


@pytest.mark.parametrize(
    ("form", "shape", "count"), LARGE, ids=[f"{form.name}-{shape}-{n}" for form, shape, n in LARGE]
)
@settings(max_examples=25)
@given(data=st.data())
def test_lark_takes_what_decode_takes(
    form: Format, shape: GridShape, count: int, data: st.DataObject
) -> None:
    labels = [f"thing {at}" for at in range(count)]
    matcher = compiled(form, shape, labels)
    text = form.encode(random_grid(shape, labels, data.draw(st.integers(0, 10**6))))
    assert matcher.accepts(text)
    wrong = data.draw(damaged(text, labels[:3]))
    assert matcher.accepts(wrong) == accepts(form, wrong, shape, labels)


@pytest.mark.parametrize(
    ("form", "shape", "most"),
    [
        (RRLE, GridShape(16, 16), 46),
        (RRLE, GridShape(32, 32), 29),
        pytest.param(RRLE, GridShape(64, 64), 18, marks=pytest.mark.slow),
        pytest.param(RRLE, GridShape(256, 256), 4, marks=pytest.mark.slow),
        (RLE, GridShape(16, 16), 4),
        pytest.param(RLE, GridShape(24, 24), 1, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_how_many_labels_are_exact(form: Format, shape: GridShape, most: int) -> None:
    """The numbers that the documentation gives."""
    labels = [f"label {at}" for at in range(most + 1)]
    assert "head" not in form.grammar(shape, labels[:-1], "gbnf")
    assert "head" in form.grammar(shape, labels, "gbnf")


def test_what_many_labels_leave_to_the_reader() -> None:
    labels = [f"label {at}" for at in range(150)]
    shape = GridShape(32, 32)
    start = time.process_time()
    matcher = Matcher(RRLE.grammar(shape, labels))
    assert time.process_time() - start < 1
    text = RRLE.encode(random_grid(shape, labels, 0))
    assert matcher.accepts(text)
    # Sums stay exact; only that neighbours differ is not said.
    assert " *7|" in text
    assert not matcher.accepts(text.replace(" *7|", " *8|", 1))
    assert not matcher.accepts(text.replace("label", "lable", 1))
    repeated = "others *31| others *1\n " + "\n ".join(["others *32"] * 31) + "\n"
    assert matcher.accepts(repeated)
    assert not accepts(RRLE, repeated, shape, labels)


@EVERY_FORMAT
@given(data=st.data())
def test_open_labels(form: Format, data: st.DataObject) -> None:
    regex = re.compile(form.grammar(GridShape(2, 2), None, "regex"))
    for shape in (GridShape(2, 2), GridShape(1, 12)):
        text = form.encode(data.draw(grids(st.just(shape))))
        for candidate in (text, data.draw(damaged(text, ["* *", "*2", "  "]))):
            taken = compiled(form, shape, None).accepts(candidate)
            if shape == GridShape(2, 2):
                assert bool(regex.fullmatch(candidate)) == taken
            if form is SD or not taken:
                assert taken == accepts(form, candidate, shape, None)
            elif not accepts(form, candidate, shape, None):
                with pytest.raises(MaskSyntaxError, match="expected a label other than"):
                    form.decode(candidate, shape)


@pytest.mark.parametrize(
    ("form", "before", "forced"),
    [
        (RRLE, "others *2| ", "dog *"),  # neighbours differ, and there are two labels
        (RRLE, "others *2| dog *2", "\n "),  # the row is full
        (RRLE, "others *4\n dog *4", "\n"),
        (RRLE, "others *3| ", "dog *1\n "),  # one cell is left
        (RRLE, "o", "thers *"),
        (RRLE, "others *2", "| dog *"),
        (SD, "others| others| others| d", "og\n "),
        (RLE, "others *4| dog *3| ", "others *1"),
    ],
)
def test_what_is_forced(form: Format, before: str, forced: str) -> None:
    assert Matcher(form.grammar(GridShape(2, 4), ["dog"])).forced(before) == forced


@EVERY_FORMAT
@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_tail_follows_the_body(form: Format, notation: str) -> None:
    shape = GridShape(2, 2)
    text = form.grammar(shape, ["dog"], notation, tail=SEG_CLOSE)  # type: ignore[arg-type]
    texts = {body + SEG_CLOSE for body in language(form, shape, ["dog"])}
    if notation == "regex":
        assert all(re.fullmatch(text, body) for body in texts)
        assert not any(re.fullmatch(text, body.removesuffix(SEG_CLOSE)) for body in texts)
    else:
        Matcher(text if notation == "lark" else bnf_to_lark(text)).check_language(texts)


@pytest.mark.parametrize(
    ("form", "shape", "count"),
    [
        (RRLE, GridShape(256, 256), 1),
        (RRLE, GridShape(256, 256), 150),
        (RRLE, GridShape(16, 16), 40),
        (RRLE, GridShape(64, 64), 8),
        (RRLE, GridShape(1, 256), 8),
        (SD, GridShape(64, 64), 150),
        (RLE, GridShape(16, 16), 1),
        (RLE, GridShape(24, 24), 1),
        (RLE, GridShape(16, 16), 150),
    ],
    ids=str,
)
def test_large_grammars_compile(form: Format, shape: GridShape, count: int) -> None:
    labels = [f"label {at}" for at in range(count)]
    matcher = Matcher(form.grammar(shape, labels))
    assert matcher.accepts(form.encode(random_grid(shape, labels, 1)))


def test_what_no_grammar_can_hold() -> None:
    with pytest.raises(GrammarError, match="rrle"):
        RLE.grammar(GridShape(64, 64), ["dog"])
    for form in (RLE, RRLE):
        with pytest.raises(GrammarError, match="longer than 200000"):
            form.grammar(GridShape(16, 16), ["dog"], "regex")
    with pytest.raises(UnknownNameError, match="lark, gbnf, ebnf, regex"):
        SD.grammar(GridShape(2, 2), ["dog"], "larc")  # type: ignore[arg-type]


@pytest.mark.parametrize("notation", ["gbnf", "ebnf"])
def test_an_end_of_string_in_a_label_is_escaped(notation: str) -> None:
    # llguidance's converter does not read \u, so this one is not compiled.
    assert r'"a\u0000b"' in SD.grammar(GridShape(1, 1), ["a\0b"], notation)  # type: ignore[arg-type]
    assert Matcher(SD.grammar(GridShape(1, 1), ["a\0b"])).accepts("a\0b\n")


def test_masks_are_fast_at_the_usual_size() -> None:
    shape = GridShape(16, 16)
    start = time.process_time()
    matcher = Matcher(RRLE.grammar(shape, ["dog"]))
    assert time.process_time() - start < 0.2  # measured: 6 ms
    text = RRLE.encode(random_grid(shape, ["dog"], 3)).encode()
    assert matcher.mask_seconds(text) / len(text) < 1e-3  # measured: 10 µs
