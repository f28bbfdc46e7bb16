"""How long the run is that begins in a cell, as digits: what a writer of run lengths has to say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_DIGITS = 10
_LONGEST = 99
RUN_CHANNELS = 3 + 2 * _DIGITS


def measure_runs(inside: Tensor, cols: int) -> Tensor:
    """How many cells `b n` each one's run still has, itself included; rows end runs."""
    rows = inside.unflatten(1, (-1, cols))
    ends = torch.ones_like(rows)
    ends[..., :-1] = rows[..., 1:] != rows[..., :-1]
    place = torch.arange(cols, device=inside.device)
    last = torch.where(ends, place, cols).flip(-1).cummin(-1).values.flip(-1)
    return (last - place + 1).flatten(1)


def describe_runs(logits: Tensor, cell: Tensor, cols: int) -> Tensor:
    """Target logits `b n` of a grid, cells `b t` → `b t 23`.

    Whether the cell is of the target, whether it is not, whether its run lasts to the end of the
    row, and the tens and units of its length, each as one of ten. Of a run of a hundred cells and
    more no digits are told: the strip of logits is left to go by.
    """
    inside = logits > 0
    length = measure_runs(inside, cols).gather(1, cell)
    inside = inside.gather(1, cell)
    to_end = cell % cols + length == cols
    digits = torch.cat(
        [
            functional.one_hot(length.clamp_max(_LONGEST) // _DIGITS, _DIGITS),
            functional.one_hot(length % _DIGITS, _DIGITS),
        ],
        -1,
    )
    digits = digits * (length <= _LONGEST)[..., None]
    return torch.cat([torch.stack([inside, ~inside, to_end], -1), digits], -1)
