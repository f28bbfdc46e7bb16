from __future__ import annotations

import numpy as np
import pytest

from text4seg.codec import get_format
from text4seg.core.types import DescriptorGrid
from text4seg.probability import Choice, choices_to_probability

LABEL = "dog"


def grid(*rows: str) -> DescriptorGrid:
    return DescriptorGrid.from_rows([["dog" if c == "#" else "others" for c in r] for r in rows])


def choice(body: bytes, at: int, chosen: int, **texts: float) -> Choice:
    """A choice among literal texts, keys written with `_` for a space."""
    words = tuple(text.replace("_", " ").encode() for text in texts)
    assert body[at:].startswith(words[chosen]), "the text has what was chosen"
    return Choice(at, words, np.array(list(texts.values())), chosen)


def read(form: str, cells: DescriptorGrid, *choices: Choice) -> np.ndarray:
    body = get_format(form).encode(cells).encode()
    return choices_to_probability(body, choices, cells.select(LABEL), label=LABEL, format_name=form)


def test_forced_cells_are_certain() -> None:
    cells = grid("#.", ".#")
    for form in ("sd", "rle", "rrle"):
        assert read(form, cells).tolist() == [[1, 0], [0, 1]]


def test_flat_text_gives_each_cell_its_own_choice() -> None:
    cells = grid("#.")
    body = b"dog| others\n"
    found = read(
        "sd",
        cells,
        choice(body, 0, 0, dog=0.7, others=0.3),
        choice(body, 4, 1, _dog=0.2, _others=0.8),
    )
    assert found.tolist() == [pytest.approx([0.7, 0.2])]


def test_pieces_of_labels_count_for_the_label_they_begin() -> None:
    cells = grid("#")
    body = b"dog\n"
    found = read("sd", cells, choice(body, 0, 1, d=0.2, do=0.4, dog=0.1, o=0.2, others=0.1))
    assert found[0, 0] == pytest.approx(0.7)


def test_a_piece_that_fits_both_leaves_the_choice_to_the_next() -> None:
    cells = DescriptorGrid.from_rows([["otter"]])
    body = b"otter\n"
    found = choices_to_probability(
        body,
        [
            Choice(0, (b"ot", b"others"), np.array([0.9, 0.1]), 0),
            Choice(2, (b"t", b"h"), np.array([0.6, 0.4]), 0),
        ],
        cells.select("otter"),
        label="otter",
        format_name="sd",
    )
    assert found[0, 0] == pytest.approx(0.9 * 0.6)


def test_a_run_length_speaks_of_all_the_cells_it_could_reach() -> None:
    cells = grid("##..")
    found = read(
        "rrle",
        cells,
        Choice(0, (b"dog", b"others"), np.array([0.9, 0.1]), 0),
        Choice(5, (b"1", b"2", b"3", b"4"), np.array([0.1, 0.5, 0.3, 0.1]), 1),
    )
    # the first cell is told by the label; the second by all lengths over 1
    assert found[0, 0] == pytest.approx(0.9)
    assert found[0, 1] == pytest.approx(0.9)
    # the third: lengths 3 and 4 against the length 2 that was taken; what follows 1 is open
    assert found[0, 2] == pytest.approx(0.4 / 0.9)
    # the fourth: 4 says dog, 3 says others, and 2 leads to the forced rest
    assert found[0, 3] == pytest.approx(0.1 / 0.9)


def test_a_length_of_two_digits_is_read_from_both() -> None:
    cells = DescriptorGrid.from_rows([["dog"] * 12 + ["others"] * 4])
    found = read(
        "rrle",
        cells,
        Choice(5, (b"1", b"9"), np.array([0.8, 0.2]), 0),
        Choice(6, (b"|", b"2", b"5"), np.array([0.0, 0.75, 0.25]), 1),
    )
    assert found[0, :9].tolist() == pytest.approx([1.0] * 9)
    assert found[0, 9] == pytest.approx(0.8)
    assert found[0, 13] == pytest.approx(0.25)


def test_image_wise_runs_go_over_the_ends_of_rows() -> None:
    cells = grid("##", "#.")
    found = read("rle", cells, Choice(5, (b"3", b"4"), np.array([0.6, 0.4]), 0))
    assert found.reshape(-1).tolist() == pytest.approx([1, 1, 1, 0.4])


@pytest.mark.parametrize("form", ["sd", "rle", "rrle"])
def test_one_half_separates_what_the_text_has(form: str) -> None:
    cells = grid("#..", ".#.")
    body = get_format(form).encode(cells).encode()
    # a choice that was not the likeliest, as a bias makes it
    taken = Choice(0, (b"dog", b"others"), np.array([0.2, 0.8]), 0)
    found = choices_to_probability(
        body, [taken], cells.select(LABEL), label=LABEL, format_name=form
    )
    assert np.array_equal(found >= 0.5, cells.select(LABEL))
