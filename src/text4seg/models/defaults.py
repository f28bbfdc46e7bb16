"""What a model was taught with: the file `text4seg.json` beside its weights.

One writer and one reader: training, export and other trainers' samples save it, every model's
loader reads it, and a `Segmenter` uses it wherever its caller names no grid or format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, WeightsError
from text4seg.core.files import write_atomically
from text4seg.core.types import GridShape

DEFAULTS_FILE = "text4seg.json"


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """Format, grid and image size that a model is asked with unless the caller says otherwise.

    Attributes:
        format: Name of the text format that the model was taught to write.
        grid: Rows and columns of the masks that it was taught.
        square: Side in pixels of the square that images are stretched to; None where the model's
            own configuration decides.
    """

    format: str = "rrle"
    grid: GridShape = GridShape(16, 16)  # noqa: RUF009 - a frozen value
    square: int | None = None

    def save(self, folder: Path) -> None:
        """Write `text4seg.json` into a folder that exists.

        Args:
            folder: Where the weights, the adapter or the samples lie.

        Raises:
            OSError: The file cannot be written.
        """
        record = {"format": self.format, "grid": str(self.grid), "square": self.square}
        write_atomically(folder / DEFAULTS_FILE, (json.dumps(record, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: Path, base: ModelDefaults | None = None) -> ModelDefaults:
        """Read a folder's `text4seg.json`.

        Args:
            folder: Where the weights or the adapter lie.
            base: Values of the fields that the file lacks, or of all where there is no file.

        Returns:
            The folder's defaults.

        Raises:
            WeightsError: The file cannot be read, or a field holds something else.
        """
        base = base or cls()
        file = folder / DEFAULTS_FILE
        if not file.is_file():
            return base
        found = read_json(file)
        return cls(
            format=_text(found, "format", base.format, file),
            grid=_grid(_text(found, "grid", str(base.grid), file), file),
            square=_square(found.get("square"), base.square, file),
        )


NANO_DEFAULTS = ModelDefaults(format="sd")
"""What the shipped weights of nano were trained with."""


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object from a file of a model.

    Args:
        file: The file.

    Returns:
        The object.

    Raises:
        WeightsError: The file cannot be read or holds something else.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{file} must hold a JSON object, not {type(found).__name__}")
    return found


def _text(found: Mapping[str, Any], key: str, default: str, file: Path) -> str:
    value = found.get(key, default)
    if not isinstance(value, str):
        raise WeightsError(f'{file}: "{key}" must be a string, got {value!r}')
    return value


def _grid(text: str, file: Path) -> GridShape:
    try:
        return GridShape.parse(text)
    except InputError as error:
        raise WeightsError(f'{file}: "grid" is none: {error}') from error


def _square(value: Any, default: int | None, file: Path) -> int | None:
    if value is None:
        return default
    # True and False are integers to Python.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WeightsError(f'{file}: "square" must be a number of pixels, got {value!r}')
    return value
