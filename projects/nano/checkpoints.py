"""Checkpoints and logs of the training stages."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def save_checkpoint(state: Mapping[str, Any], file: Path) -> None:
    """Write a state with `torch.save`, whole or not at all: a stage may be killed at any time."""
    beside = file.with_suffix(".tmp")
    torch.save(dict(state), beside)
    beside.replace(file)


def append_log(file: Path, line: Mapping[str, Any]) -> None:
    """Add a line of JSON to a log."""
    with file.open("a") as log:
        print(json.dumps(line), file=log)


def schedule(step: int, steps: int, *, warm_up: int, floor: float) -> float:
    """Factor of the learning rate: linear warm-up times a cosine that ends at `floor`.

    Args:
        step: The current step, from 0.
        steps: Number of all steps.
        warm_up: Steps of the warm-up.
        floor: What is added to the cosine, so that the last steps still learn.

    Returns:
        The factor.
    """
    warm = min(1.0, (step + 1) / warm_up)
    return warm * (0.5 * (1 + math.cos(math.pi * step / steps)) + floor)
