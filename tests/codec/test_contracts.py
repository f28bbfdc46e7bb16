"""What holds for every format: the contracts of the text formats as properties."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codec.strategies import GRID_FORMATS, LABELS, SHAPES, TRICKY, damaged, grids
from text4seg.codec import Format
from text4seg.core.errors import LabelError, MaskSyntaxError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape

# beartype, which checks array shapes in tests, draws random numbers where grids are made.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

EVERY_FORMAT = pytest.mark.parametrize("form", GRID_FORMATS.values(), ids=GRID_FORMATS)
NAMES = ["dog", "dog house"]


def language(form: Format, shape: GridShape, labels: Sequence[str]) -> frozenset[str]:
    """All texts of a small grid, by writing every grid there is."""
    return _language(form, shape, tuple(labels))


@functools.cache
def _language(form: Format, shape: GridShape, labels: tuple[str, ...]) -> frozenset[str]:
    names = [OTHERS, *labels]
    every = itertools.product(range(len(names)), repeat=shape.cells)
    return frozenset(
        form.encode(DescriptorGrid.build(names, np.reshape(cells, (shape.rows, shape.cols))))
        for cells in every
    )


def accepts(form: Format, text: str, shape: GridShape, labels: Sequence[str] | None) -> bool:
    """Whether the strict reader takes the text; any error but `MaskSyntaxError` goes through."""
    try:
        form.decode(text, shape, labels)
    except MaskSyntaxError as caught:
        error = caught
    else:
        return True
    assert error.text == text
    assert 0 <= error.at <= len(text)
    assert error.expected
    assert f"line {error.line}, column {error.column}" in str(error)
    assert len(str(error)) < 400
    return False


@EVERY_FORMAT
@given(grid=grids())
def test_decode_inverts_encode(form: Format, grid: DescriptorGrid) -> None:
    text = form.encode(grid)
    assert form.decode(text, grid.shape) == grid
    assert form.decode(text, grid.shape, grid.labels) == grid
    assert form.decode(text, grid.shape, [*grid.labels[1:], "unused"]) == grid


@EVERY_FORMAT
@given(grid=grids())
def test_salvage_of_valid_text_changes_nothing(form: Format, grid: DescriptorGrid) -> None:
    for labels in (None, grid.labels):
        salvage = form.salvage(form.encode(grid), grid.shape, labels)
        assert salvage.value == grid
        assert salvage.repairs == ()


@EVERY_FORMAT
@given(grid=grids(), data=st.data())
def test_accepted_text_is_canonical(
    form: Format, grid: DescriptorGrid, data: st.DataObject
) -> None:
    text = data.draw(damaged(form.encode(grid), grid.labels))
    for labels in (None, grid.labels):
        if accepts(form, text, grid.shape, labels):
            assert form.encode(form.decode(text, grid.shape, labels)) == text


@EVERY_FORMAT
@pytest.mark.parametrize("shape", [GridShape(2, 2), GridShape(1, 4), GridShape(3, 1)], ids=str)
@given(data=st.data())
def test_decode_accepts_the_language_and_nothing_else(
    form: Format, shape: GridShape, data: st.DataObject
) -> None:
    texts = language(form, shape, NAMES)
    text = data.draw(st.sampled_from(sorted(texts)))
    assert accepts(form, text, shape, NAMES)
    text = data.draw(st.sampled_from(sorted(texts)).flatmap(lambda text: damaged(text, NAMES)))
    assert accepts(form, text, shape, NAMES) == (text in texts)


@EVERY_FORMAT
@given(
    text=st.text(max_size=60) | st.text(alphabet="dog *|\n\r0123٣", max_size=60),
    shape=SHAPES,
    labels=st.none() | st.lists(LABELS, max_size=3),
)
def test_any_text_is_read_or_refused_and_always_salvaged(
    form: Format, text: str, shape: GridShape, labels: list[str] | None
) -> None:
    valid = accepts(form, text, shape, labels)
    salvage = form.salvage(text, shape, labels)
    assert salvage.value.shape == shape
    assert (salvage.repairs == ()) == valid
    assert all(repair.row is None or 0 <= repair.row < shape.rows for repair in salvage.repairs)
    if labels is not None:
        assert set(salvage.value.labels) <= {OTHERS, *labels}


@EVERY_FORMAT
@given(grid=grids(), data=st.data())
def test_damaged_text_is_salvaged(form: Format, grid: DescriptorGrid, data: st.DataObject) -> None:
    text = data.draw(damaged(form.encode(grid), [*grid.labels, "<seg>", "</seg>", "```"]))
    for labels in (None, grid.labels):
        salvage = form.salvage(text, grid.shape, labels)
        assert salvage.value.shape == grid.shape
        assert (salvage.repairs == ()) == accepts(form, text, grid.shape, labels)


@EVERY_FORMAT
@pytest.mark.parametrize("label", TRICKY)
def test_tricky_labels(form: Format, label: str) -> None:
    grid = DescriptorGrid.from_rows([[label, "dog house", "dog house"], [OTHERS, label, label]])
    text = form.encode(grid)
    for labels in (None, [label, "dog house"]):
        assert form.decode(text, grid.shape, labels) == grid
        assert form.salvage(text + " ", grid.shape, labels).value == grid


@EVERY_FORMAT
@pytest.mark.parametrize("labels", [["a|b"], [""], ["a *3"], "dog"])
def test_impossible_labels_are_refused(form: Format, labels: list[str]) -> None:
    for read in (form.decode, form.salvage, form.grammar):
        with pytest.raises(LabelError):
            read("", GridShape(1, 1), labels) if read != form.grammar else read(
                GridShape(1, 1), labels
            )


@EVERY_FORMAT
@settings(max_examples=20)
@given(grid=grids(shapes=st.just(GridShape(3, 70)), labels=["dog"]))
def test_wide_grids(form: Format, grid: DescriptorGrid) -> None:
    assert form.decode(form.encode(grid), grid.shape, ["dog"]) == grid
