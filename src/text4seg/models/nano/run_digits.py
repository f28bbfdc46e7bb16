"""What a run length has to say, digit by digit: told to the writer where it is written.

It is counted from where the writer stands, not from where it should stand: after a mistake the
next runs are those that bring the text back to what is seen.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from text4seg.models.nano.text.cell_tracker import NOWHERE

# One more than the digits: the run length is said.
_END = 10
_LONGEST = 999
RUN_CHANNELS = 3 + _END + 1


def measure_runs(inside: Tensor, cols: int) -> Tensor:
    """How many cells `b n` each one's run still has, itself included; rows end runs."""
    rows = inside.unflatten(1, (-1, cols))
    ends = torch.ones_like(rows)
    ends[..., :-1] = rows[..., 1:] != rows[..., :-1]
    place = torch.arange(cols, device=inside.device)
    last = torch.where(ends, place, cols).flip(-1).cummin(-1).values.flip(-1)
    return (last - place + 1).flatten(1)


def choose_lengths(
    inside: Tensor, lengths: Tensor, cell: Tensor, named: Tensor, cols: int
) -> Tensor:
    """The run length to write `b t` at cells `b t`, given the label that was written there.

    `lengths b n` are `measure_runs` of the cells that are seen `inside b n`. `named` is 1 where the
    label is the target, 0 where it is others, `NOWHERE` where it is not known.
    The label that is seen there: all of its run. The other one, which is a mistake already: one
    cell, as neighbouring runs have different labels, or, where the seen run is that one cell, the
    next run with it.
    """
    length, seen = lengths.gather(1, cell), inside.gather(1, cell)
    last = cell % cols + length == cols
    after = lengths.gather(1, (cell + 1).clamp_max(inside.shape[1] - 1))
    back = torch.where((length == 1) & ~last, 1 + after, torch.ones_like(length))
    return torch.where((named == NOWHERE) | (seen == (named == 1)), length, back)


def next_digits(length: Tensor, written: Tensor) -> Tensor:
    """The digit that comes next in a length, or 10 where the number is whole.

    Also where what was `written` (0: nothing yet) is no beginning of it. Longer ones than 999 are
    told as that.
    """
    length = length.clamp_max(_LONGEST)
    first = torch.where(
        length >= 100, length // 100, torch.where(length >= 10, length // 10, length)
    )
    further = torch.full_like(length, _END)
    further = torch.where(length // 10 == written, length % 10, further)
    further = torch.where(length // 100 == written, length // 10 % 10, further)
    return torch.where(written == 0, first, further)


def describe_runs(logits: Tensor, pointers: Tensor, cols: int) -> Tensor:
    """Target logits `b n` of a grid, pointers `b t 3` → `b t 14`.

    Whether the cell is of the target, whether it is not, whether its run lasts to the end of the
    row; amid a run length also its next digit as one of ten, or that it ends.
    """
    cell, written, named = pointers.unbind(-1)
    cell = cell.clamp_min(0)
    inside = logits > 0
    lengths = measure_runs(inside, cols)
    length, seen = lengths.gather(1, cell), inside.gather(1, cell)
    wanted = choose_lengths(inside, lengths, cell, named, cols)
    digit = functional.one_hot(next_digits(wanted, written.clamp_min(0)), _END + 1)
    digit = digit * (written >= 0)[..., None]
    return torch.cat([torch.stack([seen, ~seen, cell % cols + length == cols], -1), digit], -1)
