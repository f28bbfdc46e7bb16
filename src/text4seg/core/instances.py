"""Several things of one class as labels with numbers: `dog 1`, `dog 2`.

An instance is a label like any other for every format, reader and grammar. Only callers that asked
for instances split off the number: `player 10` may also be a whole name.
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
    """Make the label of one thing of a class.

    Args:
        name: The class.
        number: The thing's number, from 1.

    Raises:
        LabelError: The name cannot be written.
        InputError: The number is below 1.
    """
    if number < 1:
        raise InputError(f"instances are counted from 1, got {number}")
    check_label(name)
    return f"{name} {number}"


def number_instances(names: Iterable[str]) -> list[str]:
    """Make a label for each thing, numbered within its class in the order given."""
    met: Counter[str] = Counter()
    labels = []
    for name in names:
        met[name] += 1
        labels.append(instance_label(name, met[name]))
    return labels


def instance_labels(names: Sequence[str], most: int) -> list[str]:
    """List all labels of up to `most` instances of each class, for a grammar or a reader."""
    return [instance_label(name, number) for name in names for number in range(1, most + 1)]


def split_instance(label: str) -> tuple[str, int | None]:
    """Split a label into class and number; the number is None where there is none."""
    match = _NUMBERED.fullmatch(label)
    return (match[1], int(match[2])) if match else (label, None)


def select_class(grid: DescriptorGrid, name: str) -> Bool[np.ndarray, "rows cols"]:
    """Find the cells of all instances of a class, and of the class itself."""
    numbers = [
        at
        for at, label in enumerate(grid.labels)
        if at and name in {label, split_instance(label)[0]}
    ]
    return np.asarray(np.isin(grid.cells, numbers))


def grid_to_record(grid: DescriptorGrid) -> dict[str, Any]:
    """Make a record for JSON: `grid` ("16x16"), `labels` and `cells` (their numbers by row)."""
    return {
        "grid": str(grid.shape),
        "labels": list(grid.labels),
        "cells": grid.cells.tolist(),
    }


def record_to_grid(record: Any) -> DescriptorGrid:
    """Read what `grid_to_record` returned.

    Raises:
        InputError: The record has another form.
        LabelError: A label cannot be written.
    """
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
