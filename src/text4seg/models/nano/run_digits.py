"""Run lengths of the target logits, digit by digit: given to the language model while it writes.

A run length sums up many cells, which a few layers do not learn to count; so it is counted here and
the model only learns when to follow it. The count starts where the text stands, not where it should
stand: after a mistake the next runs are those that bring the text back to the cells.

Shapes: `b` masks, `n` cells, `t` positions of the answer.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from text4seg.models.nano.text.cell_tracker import NOWHERE

# The class after the ten digits: the number is whole.
_END = 10
_LONGEST = 999
RUN_CHANNELS = 3 + _END + 1


def measure_runs(inside: Tensor, cols: int) -> Tensor:
    """Length of the rest of each cell's run.

    Args:
        inside: Whether a cell is of the target, `b n`.
        cols: Columns of the grid; a run ends with its row.

    Returns:
        Cells from this one to the end of its run, itself included, `b n`.
    """
    rows = inside.unflatten(1, (-1, cols))
    ends = torch.ones_like(rows)
    ends[..., :-1] = rows[..., 1:] != rows[..., :-1]
    place = torch.arange(cols, device=inside.device)
    # The nearest end at or behind each cell: a running minimum from the right.
    last = torch.where(ends, place, cols).flip(-1).cummin(-1).values.flip(-1)
    return (last - place + 1).flatten(1)


def choose_lengths(
    inside: Tensor, lengths: Tensor, cell: Tensor, named: Tensor, cols: int
) -> Tensor:
    """The run length to write, given the label that was written before it.

    With the label that the cells show, that is the rest of their run. With the other one, which is
    a mistake already, it is one cell, since neighbouring runs have different labels; where the
    shown run is that one cell, the run behind it is taken in as well.

    Args:
        inside: Whether a cell is of the target, `b n`.
        lengths: `measure_runs` of it.
        cell: The cell that the run begins with, `b t`.
        named: 1 where the written label is the target, 0 where it is `others`, `NOWHERE` where
            there is none yet, `b t`.
        cols: Columns of the grid.

    Returns:
        `b t`.
    """
    length, shown = lengths.gather(1, cell), inside.gather(1, cell)
    last = cell % cols + length == cols
    after = lengths.gather(1, (cell + 1).clamp_max(inside.shape[1] - 1))
    back = torch.where((length == 1) & ~last, 1 + after, torch.ones_like(length))
    return torch.where((named == NOWHERE) | (shown == (named == 1)), length, back)


def next_digits(length: Tensor, written: Tensor) -> Tensor:
    """The digit that comes next in a number.

    Args:
        length: Numbers to write; those beyond 999 are written as 999.
        written: Their beginnings that were written already; 0 for none.

    Returns:
        0 to 9, or 10 where the number is whole or does not begin with `written`.
    """
    # Grids have fewer than 1,000 columns, so three digits do.
    length = length.clamp_max(_LONGEST)
    first = torch.where(
        length >= 100, length // 100, torch.where(length >= 10, length // 10, length)
    )
    further = torch.full_like(length, _END)
    further = torch.where(length // 10 == written, length % 10, further)
    further = torch.where(length // 100 == written, length // 10 % 10, further)
    return torch.where(written == 0, first, further)


def describe_runs(logits: Tensor, pointers: Tensor, cols: int) -> Tensor:
    """Features of the run that begins at each pointer.

    Args:
        logits: Target logits of the grid's cells, `b n`.
        pointers: (cell, length, named) of each position, `b t 3`.
        cols: Columns of the grid.

    Returns:
        `b t 14`: whether the cell is of the target, whether it is not, whether its run reaches the
        end of the row; amid a run length also its next digit, or its end, as one of eleven.
    """
    # Where a pointer is `NOWHERE` the result means nothing; the caller masks it.
    cell, written, named = pointers.unbind(-1)
    cell = cell.clamp_min(0)
    inside = logits > 0
    lengths = measure_runs(inside, cols)
    length, shown = lengths.gather(1, cell), inside.gather(1, cell)
    wanted = choose_lengths(inside, lengths, cell, named, cols)
    digit = functional.one_hot(next_digits(wanted, written.clamp_min(0)), _END + 1)
    # Outside a run length no digit is due, and all eleven stay zero.
    digit = digit * (written >= 0)[..., None]
    return torch.cat([torch.stack([shown, ~shown, cell % cols + length == cols], -1), digit], -1)
