"""Files that are written completely or not at all, and their names."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

from text4seg.core.errors import OutputError


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file beside its place, flush it to disk and rename it.

    Args:
        path: The file; missing parent folders are made.
        data: Its content.

    Raises:
        OutputError: It cannot be written. Then `path` is unchanged and no temporary file is left.
    """
    target = Path(path)
    beside: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(_mode(target))
        Path(beside).replace(target)
        beside = None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write {target}: {reason}") from error
    finally:
        if beside is not None:
            with contextlib.suppress(OSError):
                Path(beside).unlink()


def mask_stem(image: str | os.PathLike[str], expression: str) -> str:
    """Name the files of an answer: `cat.the-cat` for "the cat" in `photos/cat.jpg`.

    Args:
        image: The image.
        expression: What was asked for.

    Returns:
        The stem of the image and the words of the expression, the latter at most 60 characters.
    """
    words = re.sub(r"[^\w]+", "-", expression).strip("-")[:60] or "expression"
    return f"{Path(image).stem}.{words}"


def mask_file(stem: str, kind: str = "mask") -> str:
    """Name a picture of an answer: `cat.the-cat.mask.png`, or `.overlay.png` of that kind."""
    return f"{stem}.{kind}.png"


def _mode(target: Path) -> int:
    """The mode of the file that is replaced, or what `open` would give a new one."""
    with contextlib.suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
