"""Run lengths are told as the format counts them, from every cell, digit by digit."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.nano.mask_tokens import choose_length
from tests.reference.run_lengths import choose_by_hand, count_run
from text4seg.models.nano.run_digits import (
    RUN_CHANNELS,
    choose_lengths,
    describe_runs,
    measure_runs,
    next_digits,
)
from text4seg.models.nano.text.cell_tracker import NOWHERE

COLS = st.sampled_from((1, 8, 16, 64, 130))


def random_masks(seed: int, rows: int, cols: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.random((2, rows, cols)) < random.choice([0.02, 0.5, 0.98])


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), COLS)
def test_every_cell_is_told_its_run(seed: int, rows: int, cols: int) -> None:
    mask = random_masks(seed, rows, cols)
    logits = torch.from_numpy(np.where(mask, 1.0, -1.0)).flatten(1)
    length = measure_runs(logits > 0, cols)
    pointers = torch.full((2, rows * cols, 3), NOWHERE)
    pointers[..., 0] = torch.arange(rows * cols)
    told = describe_runs(logits, pointers, cols)
    assert told.shape == (2, rows * cols, RUN_CHANNELS)
    for image, cell in np.ndindex(2, rows * cols):
        row, col = divmod(cell, cols)
        wanted = count_run(mask[image, row].tolist(), col)
        assert int(length[image, cell]) == wanted
        inside = bool(mask[image, row, col])
        assert told[image, cell, :3].tolist() == [inside, not inside, col + wanted == cols]
        assert not told[image, cell, 3:].any(), "no run length is being written"


@settings(max_examples=15)  # every cell of two images and both labels in each
@given(st.integers(0, 10_000), st.integers(1, 5), COLS)
def test_the_length_to_write_depends_on_the_label_that_was(seed: int, rows: int, cols: int) -> None:
    mask = random_masks(seed, rows, cols)
    cells = torch.arange(rows * cols).expand(2, -1)
    for named in (0, 1):
        written = torch.full_like(cells, named)
        inside = torch.from_numpy(mask).flatten(1)
        chosen = choose_lengths(inside, measure_runs(inside, cols), cells, written, cols)
        for image, cell in np.ndindex(2, rows * cols):
            row, col = divmod(cell, cols)
            wanted = choose_by_hand(mask[image, row].tolist(), col, named=bool(named))
            assert int(chosen[image, cell]) == wanted
            assert choose_length(mask[image, row], col, named=bool(named)) == wanted


@settings(max_examples=40)
@given(st.integers(1, 1500), st.integers(0, 1500))
def test_numbers_are_told_digit_by_digit(length: int, written: int) -> None:
    digits, begun = str(min(length, 999)), str(written or "")
    found = int(next_digits(torch.tensor(length), torch.tensor(written)))
    more = digits.startswith(begun) and digits != begun
    assert found == (int(digits[len(begun)]) if more else 10)


def test_following_what_is_told_writes_the_row() -> None:
    """The walk of a writer that does as it is told, from a right first word and a wrong one."""
    row = [True] * 12 + [False] * 3 + [True] + [False] * 14
    logits = torch.tensor([[1.0 if cell else -1.0 for cell in row]])
    for label in (True, False):
        written, named, cell = [], int(label), 0
        while cell < len(row):
            length = 0
            while True:
                told = describe_runs(logits, torch.tensor([[[cell, length, named]]]), len(row))
                digit = int(told[0, 0, 3:].argmax())
                if digit == 10:
                    break
                length = length * 10 + digit
            written += [bool(named)] * length
            cell, named = cell + length, 1 - named
        assert len(written) == len(row)
        wrong = [place for place, cell in enumerate(row) if cell != written[place]]
        assert wrong == ([] if label else [0])


def test_cells_are_picked_in_any_order() -> None:
    logits = torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0]])
    pointers = torch.tensor([[[4, 0, 1], [0, 0, 1], [5, 0, 0], [2, 0, 0], [2, 2, 0]]])
    told = describe_runs(logits, pointers, 4)
    assert told[0, :, 3:].argmax(-1).tolist() == [1, 2, 3, 2, 10]
    assert told[0, :, 2].tolist() == [0, 0, 1, 1, 1]
