"""Random labels, grids and damage for the tests of the formats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from text4seg.codec import get_format
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, label_fault

GRID_FORMATS = {name: get_format(name) for name in ("sd", "rle", "rrle")}
"""The formats whose value is one grid over the image."""

TRICKY = [
    "dog",
    "dog house",  # another label and more
    "a *",  # ends like a run
    "a *b",
    "*3",  # a run length without its space
    "a*3",
    "3",
    "Others",
    "狗",
    "é",
    '"q" \\n',  # what grammars have to escape
    "[x] (y) {z} .+?^$",
    "a/b",
    "</seg>",
    "a\tb",
    "\x00\x7f",
]

LABELS = st.sampled_from(TRICKY) | st.text(
    alphabet=st.sampled_from('ab *3é\t"\\') | st.characters(exclude_categories=["Cs"]),
    min_size=1,
    max_size=6,
).filter(lambda label: not label_fault(label))

SHAPES = st.builds(GridShape, st.integers(1, 6), st.integers(1, 14))


@st.composite
def grids(
    draw: st.DrawFn,
    shapes: st.SearchStrategy[GridShape] = SHAPES,
    labels: Sequence[str] | None = None,
) -> DescriptorGrid:
    """Grids with long runs; of these labels, or of any."""
    shape = draw(shapes)
    names = [OTHERS, *(labels or draw(st.lists(LABELS, max_size=4)))]
    cells = draw(
        st.lists(st.integers(0, len(names) - 1), min_size=shape.cells, max_size=shape.cells)
    )
    keep = draw(st.lists(st.booleans(), min_size=shape.cells, max_size=shape.cells))
    for at in range(1, shape.cells):
        if keep[at]:
            cells[at] = cells[at - 1]
    array = np.array(cells, dtype=np.int32).reshape(shape.rows, shape.cols)
    return DescriptorGrid.build(names, array)


def damaged(text: str, pieces: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """Texts a few edits away from `text`."""
    known = [" ", "*", "|", "\n", "\r", "0", "1", "2", "9", "٣", "d", "| ", "\n ", " *", *pieces]

    @st.composite
    def edit(draw: st.DrawFn) -> str:
        result = text
        for _ in range(draw(st.integers(1, 3))):
            start = draw(st.integers(0, len(result)))
            end = min(len(result), start + draw(st.integers(0, 3)))
            kind = draw(st.sampled_from(["insert", "delete", "replace", "repeat"]))
            new = draw(st.sampled_from(known))
            if kind == "insert":
                result = result[:start] + new + result[start:]
            elif kind == "delete":
                result = result[:start] + result[end:]
            elif kind == "replace":
                result = result[:start] + new + result[end:]
            else:
                result = result[:end] + result[start:]
        return result

    return edit()
