"""How many threads nano computes with: as many as there are cores that nobody else is using.

Small operations end in a barrier. Where another process holds one of two cores, the thread on it
comes late to every barrier and the other one spins meanwhile: one thread alone is several times
faster than two.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from text4seg.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

VARIABLE = "TEXT4SEG_THREADS"
_TORCHS_OWN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_STATISTICS = Path("/proc/stat")
_WATCHED_SECONDS = 0.2
# So much of a core may be missing for it to count as free.
_LEEWAY = 0.3
# Of a line of /proc/stat: time that a new thread would get. Niced processes give way to it.
_NICE, _IDLE, _WAITING = 1, 3, 4

Ticks = tuple[int, int]
"""Of a core, since the start of the machine: time that was free, and all time."""


def settle_threads(environment: Mapping[str, str] = os.environ) -> None:
    """Sets the threads of torch and OpenCV for this process.

    `TEXT4SEG_THREADS` says how many; else, where OMP_NUM_THREADS or MKL_NUM_THREADS is set, torch
    has read it already and nothing changes; else it is the number of free cores, at most as many as
    torch would take.

    Raises:
        InputError: TEXT4SEG_THREADS is no number of threads.
    """
    told = environment.get(VARIABLE)
    if told:
        most = os.cpu_count() or 1
        if not (told.isascii() and told.isdigit() and 1 <= int(told) <= most):
            raise InputError(f"{VARIABLE} is {told!r}; expected a number of threads, 1 to {most}")
        threads = int(told)
    elif any(environment.get(name) for name in _TORCHS_OWN) or torch.get_num_threads() == 1:
        return
    else:
        free = free_cores()
        if free is None:
            return
        threads = min(free, torch.get_num_threads())
    import cv2

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def free_cores(
    read: Callable[[], Mapping[int, Ticks]] | None = None,
    cores: Collection[int] | None = None,
    seconds: float = _WATCHED_SECONDS,
) -> int | None:
    """Cores of this process that are idle right now, at least one; None where nothing tells.

    Takes `seconds`, in which it watches them.
    """
    read = read or read_ticks
    if cores is None:
        if not hasattr(os, "sched_getaffinity"):  # neither macOS nor Windows has it
            return None
        cores = os.sched_getaffinity(0)
    before = read()
    time.sleep(seconds)
    after = read()
    shares = [
        (after[core][0] - before[core][0]) / max(1, after[core][1] - before[core][1])
        for core in cores
        if core in before and core in after
    ]
    return max(1, int(sum(shares) + _LEEWAY)) if shares else None


def read_ticks(file: Path = _STATISTICS) -> dict[int, Ticks]:
    """Each core's ticks; none where the system does not tell."""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    ticks = {}
    for line in lines:
        name, *counts = line.split()
        core = name.removeprefix("cpu")
        if core != name and core.isdigit() and len(counts) > _WAITING:
            spent = [int(count) for count in counts]
            # What guests of virtual machines took, from the 9th on, is in the first two already.
            ticks[int(core)] = spent[_NICE] + spent[_IDLE] + spent[_WAITING], sum(spent[:8])
    return ticks
