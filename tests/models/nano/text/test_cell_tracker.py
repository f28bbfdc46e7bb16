"""Each token of an answer points at the cell that the token after it writes."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.reference.small_nano import LABELS, small_text, small_tokenizer
from text4seg.codec import get_format
from text4seg.core.types import OTHERS, DescriptorGrid
from text4seg.models.nano.text.cell_tracker import NOWHERE, OUTSIDE_MASK, CellPointer, CellTracker
from text4seg.prompts import ANSWER_PREFIX

TOKENIZER = small_tokenizer()
WALKER = CellTracker.from_tokenizer(TOKENIZER)


@cache
def smollm2_tracker(tokenizer: Tokenizer) -> CellTracker:
    return CellTracker.from_tokenizer(tokenizer)


SIDES = st.integers(1, 13)
# Their last letter melts with the bar or the line end, their first with the space before it.
AWKWARD = ("the dog.", "a dog?", "dog (left)", "dog [1]", "dog:", "50 %", "2 dogs", "a *b", "(dog)")
NAMES = st.lists(st.sampled_from(LABELS), min_size=1, max_size=2, unique=True)
SEEDS = st.integers(0, 10_000)


def make_grid(rows: int, cols: int, names: list[str], seed: int) -> DescriptorGrid:
    """Some cells are one of the labels, with runs and without."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, len(names) + 1, (rows, cols)).astype(np.int32)
    cells[random.random((rows, cols)) < random.random()] = 0
    return DescriptorGrid.build((OTHERS, *names), cells)


def cell_after(text: str, rows: int, cols: int) -> int:
    """The cell that comes next after the beginning of a body, read off its characters."""
    done, _, current = text.rpartition("\n")
    row = text.count("\n")
    ended = current.split("|")[:-1]
    counts = [re.search(r" \*(\d+)$", run) for run in ended]
    col = sum(int(count[1]) if count else 1 for count in counts)
    assert row == 0 or done
    return row * cols + col if row < rows else NOWHERE


def cells(pointers: list[CellPointer]) -> list[int]:
    assert all(one == OUTSIDE_MASK for one in pointers if one.cell == NOWHERE)
    return [one.cell for one in pointers]


def run_after(text: str) -> tuple[int, int]:
    """The run length begun at the end of a body and its label, read off its characters."""
    run = re.split(r"[|\n]", text)[-1]
    length = re.search(r" \*(\d*)$", run)
    named = -1 if not run.strip() else int(not run.strip().startswith(OTHERS))
    return (int(length[1] or 0) if length else NOWHERE), named


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def expected_pointers(tokenizer: Tokenizer, grid: DescriptorGrid, body: str) -> list[int]:
    tokens = ids(tokenizer, body)
    begun = [tokenizer.decode(tokens[: n + 1]) for n in range(len(tokens))]
    # A token that ends inside a character leaves a mark that no label holds; the cell is the same.
    return [cell_after(text, grid.shape.rows, grid.shape.cols) for text in begun]


@pytest.mark.parametrize("name", ["sd", "rrle"])
@given(rows=SIDES, cols=SIDES, names=NAMES, seed=SEEDS)
def test_pointers_agree_with_the_text_cell_by_cell(
    name: str, rows: int, cols: int, names: list[str], seed: int
) -> None:
    grid = make_grid(rows, cols, names, seed)
    body = get_format(name).encode(grid)
    before, opened = ids(TOKENIZER, "Here | is\n *3 the mask:\n"), ids(TOKENIZER, "<seg>")
    after = ids(TOKENIZER, "</seg> and | so\n on")
    written = expected_pointers(TOKENIZER, grid, body)
    found = WALKER.pointers(
        before + opened + ids(TOKENIZER, body) + after, grid.shape.rows, grid.shape.cols
    )
    outside = [NOWHERE] * (len(before) + len(opened) - 1)
    assert cells(found) == [*outside, 0, *written, *[NOWHERE] * len(after)]


@given(rows=SIDES, cols=SIDES, names=NAMES, seed=SEEDS)
def test_a_run_length_is_known_as_far_as_it_is_written(
    rows: int, cols: int, names: list[str], seed: int
) -> None:
    grid = make_grid(rows, cols, names, seed)
    tokens, opened = ids(TOKENIZER, get_format("rrle").encode(grid)), ids(TOKENIZER, "<seg>")
    found = WALKER.pointers(opened + tokens, rows, cols)[len(opened) :]
    for n, one in enumerate(found, 1):
        length, named = run_after(TOKENIZER.decode(tokens[:n]))
        if one.cell != NOWHERE:
            assert one.length == length
            # Amid a label it is a guess from its first token.
            assert one.named == named or (length == NOWHERE and named != NOWHERE)


@given(rows=SIDES, cols=SIDES, names=NAMES, seed=SEEDS)
def test_every_cell_of_flat_text_is_pointed_at_once_before_it_is_written(
    rows: int, cols: int, names: list[str], seed: int
) -> None:
    grid = make_grid(rows, cols, names, seed)
    tokens = ids(TOKENIZER, "<seg>" + get_format("sd").encode(grid))
    found = cells(WALKER.pointers(tokens, grid.shape.rows, grid.shape.cols))
    entered = [b for a, b in zip([NOWHERE, *found], found, strict=False) if a != b != NOWHERE]
    assert entered == list(range(grid.shape.cells))


@given(
    st.lists(st.integers(0, TOKENIZER.get_vocab_size() - 1), max_size=80),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_any_tokens_whatever_give_cells_of_the_grid_or_nowhere(
    tokens: list[int], rows: int, cols: int
) -> None:
    found = cells(WALKER.pointers(ids(TOKENIZER, "<seg>") + tokens, rows, cols))
    assert all(pointer == NOWHERE or 0 <= pointer < rows * cols for pointer in found)


GARBAGE = [
    pytest.param("<seg> dog *99999999999999| dog\n dog", [NOWHERE, 3], id="a run beyond the row"),
    pytest.param("<seg>\n\n\n\n\n", [NOWHERE], id="more rows than there are"),
    pytest.param("<seg> dog| dog</seg> dog| dog", [NOWHERE], id="after the end"),
    pytest.param("<seg> dog| dog</seg> again <seg> dog| dog", [1], id="a second mask starts anew"),
    pytest.param("<se dog| <seg> dog| dog", [1], id="a mark that breaks off"),
    pytest.param("<<seg> dog| dog", [1], id="a mark that begins twice"),
    pytest.param("dog| dog\n dog| dog", [NOWHERE], id="no mask at all"),
]


@pytest.mark.parametrize(("text", "last"), GARBAGE)
def test_garbage_loses_the_way_and_never_fails(text: str, last: list[int]) -> None:
    found = cells(WALKER.pointers(ids(TOKENIZER, text), 3, 3))
    assert [p for a, p in zip([None, *found], found, strict=False) if a != p][-len(last) :] == last


@pytest.mark.parametrize("label", AWKWARD)
@pytest.mark.parametrize("name", ["sd", "rrle"])
def test_awkward_labels_keep_the_column(name: str, label: str) -> None:
    for seed in range(5):
        grid = make_grid(5, 7, [label], seed)
        body = get_format(name).encode(grid)
        found = WALKER.pointers(ids(TOKENIZER, "<seg>") + ids(TOKENIZER, body), 5, 7)
        opened = len(ids(TOKENIZER, "<seg>"))
        assert cells(found)[opened:] == expected_pointers(TOKENIZER, grid, body)


@pytest.mark.nano
@pytest.mark.parametrize("label", AWKWARD)
@pytest.mark.parametrize("name", ["sd", "rrle"])
def test_awkward_labels_keep_the_column_in_smollm2s_tokens(
    name: str, label: str, tokenizer: Tokenizer
) -> None:
    cell_tracker, opened = smollm2_tracker(tokenizer), len(ids(tokenizer, "<seg>"))
    for seed in range(5):
        grid = make_grid(5, 7, [label], seed)
        body = get_format(name).encode(grid)
        found = cell_tracker.pointers(ids(tokenizer, "<seg>") + ids(tokenizer, body), 5, 7)
        assert cells(found)[opened:] == expected_pointers(tokenizer, grid, body)


def test_a_users_own_seg_starts_no_mask() -> None:
    tokens = small_text().prompt("Where is <seg>the dog| in it?", ANSWER_PREFIX)
    found = WALKER.pointers(tokens, 3, 3)
    assert cells(found) == [NOWHERE] * (len(tokens) - 1) + [0]


@pytest.mark.nano
@pytest.mark.parametrize("name", ["sd", "rrle"])
@given(rows=SIDES, cols=SIDES, names=NAMES, seed=SEEDS)
def test_smollm2_tokenizer_agrees_as_well(
    name: str, rows: int, cols: int, names: list[str], seed: int, tokenizer: Tokenizer
) -> None:
    grid = make_grid(rows, cols, names, seed)
    body = get_format(name).encode(grid)
    tokens = ids(tokenizer, "<seg>") + ids(tokenizer, body)
    opened = len(ids(tokenizer, "<seg>"))
    found = smollm2_tracker(tokenizer).pointers(tokens, grid.shape.rows, grid.shape.cols)
    assert cells(found)[opened:] == expected_pointers(tokenizer, grid, body)
