"""Reading mask text and JSON for the verbs `decode` and `convert`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from text4seg.codec import Format, Repair
from text4seg.codec.answer import SEG_OPEN, body_of, find_body
from text4seg.conversions import Value, record_to_value
from text4seg.core.errors import InputError, MaskSyntaxError
from text4seg.core.types import GridShape

MAX_BYTES = 64 << 20


def read_text(file: Path) -> str:
    """Read the text of a file, or of stdin for `-`.

    Raises:
        InputError: It cannot be read, is no UTF-8 or is too long.
    """
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{file} cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{file} has more than {MAX_BYTES >> 20} MB, too much for mask text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not text: byte {error.start} is not UTF-8") from error


def read_value(
    file: Path, form: Format[Any] | None, shape: GridShape, *, salvage: bool
) -> tuple[Value, tuple[Repair, ...]]:
    """Read a mask text, alone or in an answer, or JSON where there is no format.

    Raises:
        InputError: It cannot be read, or not strictly and `salvage` is not set.
    """
    text = read_text(file)
    if form is None:
        try:
            return record_to_value(json.loads(text)), ()
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file} is not JSON: {error}") from None
    if salvage:
        saved = form.salvage(find_body(text), shape)
        return saved.value, saved.repairs
    try:
        return form.decode(body_of(text) if SEG_OPEN in text else text, shape), ()
    except MaskSyntaxError as error:
        raise InputError(f"{file}, {error} (--salvage reads damaged text)") from error
