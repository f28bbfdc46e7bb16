"""Many at once is one by one, and the strict reader has the last word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codec.strategies import damaged, grids
from text4seg.codec.batch_codec import (
    cells_to_texts,
    decode_many,
    encode_many,
    polygons_to_texts,
    rles_to_texts,
)
from text4seg.codec.rrle import RRLE
from text4seg.core.coverage import polygons_to_rle
from text4seg.core.errors import InputError, LabelError, MaskSyntaxError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, Size

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SHAPE = GridShape(3, 12)
GRIDS = st.lists(grids(st.just(SHAPE)), max_size=4)


@given(GRIDS)
def test_writing_and_reading_many(many: list[DescriptorGrid]) -> None:
    texts = [RRLE.encode(grid) for grid in many]
    assert encode_many(many) == texts
    found = decode_many(texts, SHAPE)
    assert found == many
    for grid in found:
        assert grid.cells.dtype == np.int32
        assert not grid.cells.flags.writeable
    names = [name for grid in many for name in grid.labels]
    assert decode_many(texts, SHAPE, names) == many


@given(grids(st.just(SHAPE)), st.data())
def test_whatever_is_refused_alone_is_refused_among_others(
    grid: DescriptorGrid, data: st.DataObject
) -> None:
    good = RRLE.encode(grid)
    text = data.draw(damaged(good, grid.labels) | st.text(max_size=20))
    for labels in (None, grid.labels):
        alone, error = outcome(lambda: RRLE.decode(text, SHAPE, labels))  # noqa: B023
        many, same = outcome(lambda: decode_many([good, text, good], SHAPE, labels))  # noqa: B023
        assert error == same
        assert error is not None or many == [grid, alone, grid]


def outcome(read: Callable[[], object]) -> tuple[object, tuple[str, int, str] | None]:
    """What was read, or where and why nothing was."""
    try:
        return read(), None
    except MaskSyntaxError as error:
        return None, (error.text, error.at, error.expected)


def test_masks_become_the_same_texts() -> None:
    random = np.random.default_rng(1)
    masks = [random.random((20, 30)) < share for share in (0.1, 0.5, 0.9)]
    masks.append(np.zeros((40, 40), dtype=np.bool_))
    labels = ["dog", "the cat", "dog", "a *"]
    texts = rles_to_texts([mask_to_rle(mask) for mask in masks], labels, SHAPE)
    for text, mask, label in zip(texts, masks, labels, strict=True):
        assert text == RRLE.encode(mask_to_grid(mask, label, SHAPE))


def test_a_lone_line_break_does_not_make_two_rows() -> None:
    shape = GridShape(2, 4)
    for text in (
        "dog *4| \n| dog *4\n dog *4\n",
        "dog *4\ndog *4\n",
        "dog *4\n dog *4",
        "dog *4\n",
    ):
        with pytest.raises(MaskSyntaxError):
            decode_many(["dog *4\n dog *4\n", text], shape)
    assert decode_many([], shape) == []


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
def test_polygons_become_the_texts_of_their_masks() -> None:
    square = [2.0, 2, 14, 2, 14, 14, 2, 14]
    outlines = [([square], Size(16, 16)), ([square, [0.0, 0, 3, 0, 3, 3]], Size(20, 30))]
    rles = [polygons_to_rle(*outline) for outline in outlines]
    assert polygons_to_texts(outlines, ["dog", "cat"], SHAPE, "iou") == rles_to_texts(
        rles, ["dog", "cat"], SHAPE, "iou"
    )


def test_bad_batches_are_told() -> None:
    cells = np.zeros((1, 2, 2), dtype=np.bool_)
    with pytest.raises(InputError, match="1 masks, 2 labels"):
        cells_to_texts(cells, ["dog", "cat"])
    with pytest.raises(LabelError):
        cells_to_texts(cells, [OTHERS])
    shapes = [DescriptorGrid.empty(GridShape(1, 2)), DescriptorGrid.empty(GridShape(2, 1))]
    with pytest.raises(InputError, match="one shape"):
        encode_many(shapes)
    with pytest.raises(LabelError):
        decode_many(["dog *1\n"], GridShape(1, 1), ["a|b"])
