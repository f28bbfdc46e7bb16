"""Rows of parquet and Arrow files by number, with one row group in memory at a time."""

from __future__ import annotations

import functools
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.data.checks import inside_folder
from text4seg.data.reports import RecordError

ENDINGS = (".parquet", ".arrow")


@dataclass(frozen=True, slots=True)
class ArrowRows:
    """Rows of several parquet or Arrow files, one file after the other.

    Attributes:
        files: The files.
        starts: For each row group the number of its first row, its file and its number there.
        total: The number of rows.
        columns: The names of the columns.
    """

    files: tuple[Path, ...]
    starts: tuple[tuple[int, int, int], ...]
    total: int
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return self.total

    def row(self, index: int) -> dict[str, Any]:
        """Read one row as plain values."""
        first, file, group = self.starts[
            bisect_right(self.starts, index, key=lambda one: one[0]) - 1
        ]
        table = _group(self.files[file], group)
        row: dict[str, Any] = table.slice(index - first, 1).to_pylist()[0]
        return row

    def place(self, index: int) -> str:
        """Name a row for messages."""
        first, file, _ = self.starts[bisect_right(self.starts, index, key=lambda one: one[0]) - 1]
        before = next(start for start, number, _ in self.starts if number == file)
        del first
        return f"{self.files[file]}, row {index - before}"


def open_arrow_rows(root: Path, split: str | None) -> ArrowRows:
    """Open a file, or all files of a folder whose names contain the split.

    Args:
        root: A parquet or Arrow file, or a folder.
        split: The split, or None for all files.

    Returns:
        The rows; one row group is in memory at a time.

    Raises:
        InputError: There is no file, or one cannot be read or has other columns.
        MissingExtraError: pyarrow is not installed.
    """
    files = [root] if root.is_file() else _files(root, split)
    if not files:
        raise InputError(
            f"{root} has no {' or '.join(ENDINGS)} file{f' of {split!r}' if split else ''}"
        )
    starts: list[tuple[int, int, int]] = []
    total, columns = 0, None
    for number, path in enumerate(files):
        names, counts = _layout(path)
        if columns is not None and names != columns:
            raise InputError(f"{path} has the columns {names}, and {files[0]} has {columns}")
        columns = names
        for group, count in enumerate(counts):
            starts.append((total, number, group))
            total += count
    return ArrowRows(tuple(files), tuple(starts), total, columns or ())


def _files(root: Path, split: str | None) -> list[Path]:
    found = sorted(path for ending in ENDINGS for path in root.rglob(f"*{ending}"))
    if split is None:
        return found
    return [
        path for path in found
        if path.name.startswith((f"{split}-", f"{split}.", f"{split}_"))
        or split in path.relative_to(root).parts[:-1]
    ]  # fmt: skip


def _layout(path: Path) -> tuple[tuple[str, ...], list[int]]:
    import_arrow()
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path) as file:
                data = file.metadata
                groups = [data.row_group(at).num_rows for at in range(data.num_row_groups)]
                return tuple(file.schema_arrow.names), groups
        table = _group(path, 0)
        return tuple(table.schema.names), [table.num_rows]
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


@functools.lru_cache(maxsize=2)
def _group(path: Path, group: int) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path) as file:
                return file.read_row_group(group)
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_stream(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def import_arrow() -> None:
    """Raise `MissingExtraError` unless pyarrow is installed."""
    try:
        import pyarrow  # noqa: F401, ICN001 - only whether it is there
    except ImportError:
        raise MissingExtraError("pyarrow", "data") from None


def read_picture(value: Any, folder: Path | None, where: str) -> tuple[Path, bytes | None]:
    """Read a cell with an image, as the `datasets` library keeps them.

    Args:
        value: A path, or `{"bytes", "path"}`.
        folder: The folder that paths start from.
        where: The row, for messages.

    Returns:
        The path of the image, and its bytes where the row has them.

    Raises:
        RecordError: The cell is something else, or needs a folder of images.
    """
    if isinstance(value, str):
        value = {"path": value, "bytes": None}
    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise RecordError("bad record", f"{where}: the picture is neither bytes nor a path")
    name = str(value.get("path") or "picture")
    if value.get("bytes"):
        return Path(f"{where}, {Path(name).name}"), bytes(value["bytes"])
    if folder is None:
        raise RecordError("missing image", f"{where}: {name!r} needs the folder of images")
    return inside_folder(folder, name), None
