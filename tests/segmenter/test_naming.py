"""Several names in one question."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes import FakeChat
from tests.segmenter.conftest import IMAGE
from text4seg.codec import get_format
from text4seg.core.errors import LabelError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.segmenter import Segmenter
from text4seg.segmenter.naming import name_cells

SHAPE = GridShape(4, 6)
CELLS = np.zeros((4, 6), dtype=np.int32)
CELLS[1:3, 1:3], CELLS[2:, 4:] = 1, 2
BOTH = DescriptorGrid.build(("others", "dog", "cat"), CELLS)


@pytest.mark.parametrize("form", ["sd", "rle", "rrle"])
def test_each_cell_has_one_of_the_names(form: str) -> None:
    model = FakeChat({"dog": BOTH}, shape=SHAPE, form=form, certainty=30.0)
    found = name_cells(Segmenter(model, grid=SHAPE, format=form), IMAGE, ["dog", "cat", "cow"])
    assert found.rows_of_labels() == BOTH.rows_of_labels()
    assert len(model.opened) == len(model.questions) == 1
    assert all(name in model.questions[0] for name in ("dog", "cat", "cow"))


def test_a_text_only_answer_is_salvaged() -> None:
    text = get_format("rrle").encode(BOTH).replace("others *6", "others *5", 1)
    model = FakeChat(shape=SHAPE, written=f"Here: <seg>{text}</seg>")
    found = name_cells(Segmenter(model, grid=SHAPE, format="rrle"), IMAGE, ["dog", "cat"])
    assert found.rows_of_labels() == BOTH.rows_of_labels()


def test_a_name_that_no_text_can_carry_costs_nothing() -> None:
    model = FakeChat(shape=SHAPE)
    with pytest.raises(LabelError, match="instead"):
        name_cells(Segmenter(model, grid=SHAPE), IMAGE, ["dog", "a|b"])
    assert model.opened == []
