"""bfloat16 where the processor computes with it; elsewhere it is emulated, ten times slower."""

from __future__ import annotations

import time
from functools import cache

import torch

# A product large enough to tell, small enough to take a few milliseconds.
_SIDE, _REPEATS = 384, 3


@cache
def is_bfloat16_faster() -> bool:
    """Whether a matrix product in bfloat16 is faster here than in float32; measured once."""
    return _measure_seconds(torch.bfloat16) < _measure_seconds(torch.float32)


def mixed_precision() -> torch.autocast:
    """Get a context that computes in bfloat16 where that is faster, else in float32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bfloat16_faster())


def _measure_seconds(dtype: torch.dtype) -> float:
    """Best of a few: the first one also allocates and warms the caches."""
    matrix = torch.ones(_SIDE, _SIDE, dtype=dtype)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return min(seconds)
