"""bfloat16 where the processor computes with it; elsewhere it is emulated, ten times slower."""

from __future__ import annotations

import time
from functools import cache

import torch

_SIDE, _TIMES = 384, 3


@cache
def bfloat16_pays() -> bool:
    """Whether a matrix product in bfloat16 is faster here than one in float32 (tried, once)."""
    return _seconds(torch.bfloat16) < _seconds(torch.float32)


def mixed_precision() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16_pays())


def _seconds(dtype: torch.dtype) -> float:
    matrix = torch.ones(_SIDE, _SIDE, dtype=dtype)
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - began)
    return min(taken)
