"""Runs are told as the format counts them, from every cell, up to what digits are told of."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from text4seg.models.nano.runs import RUN_CHANNELS, describe_runs, measure_runs


def count_run(row: np.ndarray, col: int) -> int:
    """The run of a row that begins in `col`, counted one by one."""
    length = 1
    while col + length < len(row) and row[col + length] == row[col]:
        length += 1
    return length


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from((1, 8, 16, 64, 130)))
def test_every_cell_is_told_its_run(seed: int, rows: int, cols: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((2, rows, cols)) < random.choice([0.02, 0.5, 0.98])
    logits = torch.from_numpy(np.where(mask, 1.0, -1.0)).flatten(1)
    length = measure_runs(logits > 0, cols)
    cells = torch.arange(rows * cols).expand(2, -1)
    told = describe_runs(logits, cells, cols)
    assert told.shape == (2, rows * cols, RUN_CHANNELS)
    for photo, cell in np.ndindex(2, rows * cols):
        row, col = divmod(cell, cols)
        wanted = count_run(mask[photo, row], col)
        assert int(length[photo, cell]) == wanted
        channels = told[photo, cell].tolist()
        inside = bool(mask[photo, row, col])
        assert channels[:3] == [inside, not inside, col + wanted == cols]
        tens, units = channels[3:13], channels[13:]
        if wanted > 99:
            assert not any(channels[3:])
        else:
            assert (tens.index(1), units.index(1)) == divmod(wanted, 10)
            assert sum(tens) == sum(units) == 1


def test_cells_are_picked_in_any_order() -> None:
    logits = torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0]])
    told = describe_runs(logits, torch.tensor([[4, 0, 5, 2]]), 4)
    assert told[0, :, 13:].argmax(-1).tolist() == [1, 2, 3, 2]
    assert told[0, :, 2].tolist() == [0, 0, 1, 1]
