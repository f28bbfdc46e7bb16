"""Several things of one class, told apart in the text: `dog 1`, `dog 2`.

An instance is a label like any other, so every format, reader and grammar takes it as it stands.
Only who asked for instances reads the number off again: `player 10` may as well be a whole name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, check_label

_NUMBERED = re.compile(r"(.*[^ ]) ([1-9][0-9]{0,4})", re.DOTALL)


def instance_label(name: str, number: int) -> str:
    """The label of the `number`-th thing of a class, from 1; raises `LabelError`, `InputError`."""
    if number < 1:
        raise InputError(f"instances are counted from 1, got {number}")
    check_label(name)
    return f"{name} {number}"


def number_instances(names: Iterable[str]) -> list[str]:
    """A label for each of some things, numbered within their class in the order given."""
    met: Counter[str] = Counter()
    labels = []
    for name in names:
        met[name] += 1
        labels.append(instance_label(name, met[name]))
    return labels


def instance_labels(names: Sequence[str], most: int) -> list[str]:
    """All labels of up to `most` instances of each class, for a grammar or a reader."""
    return [instance_label(name, number) for name in names for number in range(1, most + 1)]


def split_instance(label: str) -> tuple[str, int | None]:
    """The class and the number of a label; no number where it does not end in one."""
    match = _NUMBERED.fullmatch(label)
    return (match[1], int(match[2])) if match else (label, None)


def select_class(grid: DescriptorGrid, name: str) -> Bool[np.ndarray, "rows cols"]:
    """The cells of all instances of a class, and of the class itself."""
    numbers = [
        at
        for at, label in enumerate(grid.labels)
        if at and name in {label, split_instance(label)[0]}
    ]
    return np.asarray(np.isin(grid.cells, numbers))


def grid_to_record(grid: DescriptorGrid) -> dict[str, Any]:
    """A grid for JSON: `grid` ("16x16"), `labels` and `cells` (their numbers, row by row)."""
    return {
        "grid": str(grid.shape),
        "labels": list(grid.labels),
        "cells": grid.cells.tolist(),
    }


def record_to_grid(record: Any) -> DescriptorGrid:
    """Read what `grid_to_record` wrote; raises `InputError` or `LabelError` for anything else."""
    try:
        shape = GridShape.parse(record["grid"])
        labels = tuple(record["labels"])
        cells = np.array(record["cells"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            'a grid in JSON is {"grid": "RxC", "labels": […], "cells": [[…]]}'
        ) from None
    if not all(isinstance(label, str) for label in labels) or cells.dtype.kind not in "iu":
        raise InputError("a grid in JSON has labels of text and cells of whole numbers")
    if cells.shape != (shape.rows, shape.cols):
        raise InputError(f"a grid of {shape} has cells of that shape, got {cells.shape}")
    if labels[:1] != (OTHERS,):
        raise InputError(f"the first label of a grid in JSON is {OTHERS!r}")
    return DescriptorGrid(labels, cells.astype(np.int32))
