"""The number of threads that nano computes with: that of the cores that nobody else is using.

Small operations end in a barrier. Where another process holds one of two cores, the thread on it
comes late to every barrier while the other one spins: one thread alone is then several times faster
than two.
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
# A core counts as free although so much of it is in use.
_LEEWAY = 0.3
# Columns of /proc/stat that a new thread would get: idle time, and niced processes, which give way.
_NICE, _IDLE, _WAITING = 1, 3, 4

Ticks = tuple[int, int]
"""Free time and all time of a core, since the start of the machine."""


def settle_threads(environment: Mapping[str, str] = os.environ) -> None:
    """Set the threads of torch and OpenCV for this process.

    `TEXT4SEG_THREADS` decides. Without it, nothing changes where OMP_NUM_THREADS or
    MKL_NUM_THREADS is set, which torch has read already; otherwise it is the number of free cores,
    at most as many as torch would take.

    Args:
        environment: Environment variables.

    Raises:
        InputError: TEXT4SEG_THREADS is no number of threads.
    """
    wanted = environment.get(VARIABLE)
    if wanted:
        most = os.cpu_count() or 1
        if not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= most):
            raise InputError(f"{VARIABLE} is {wanted!r}; expected a number of threads, 1 to {most}")
        threads = int(wanted)
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
    """Count the cores of this process that are idle right now.

    Args:
        read: Each core's ticks; `read_ticks` by default.
        cores: The cores that the process may use; by default the system is asked.
        seconds: How long they are watched.

    Returns:
        At least one; None where the system gives no answer (macOS, Windows).
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
    """Each core's ticks, from /proc/stat; empty where there is none."""
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
