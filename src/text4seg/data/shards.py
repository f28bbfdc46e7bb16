"""Files of records, JSON lines or parquet: the same records always give the same bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.data.arrow_rows import import_arrow
from text4seg.data.schemas import Record

FILES = ("jsonl", "parquet")
_PICTURE = "images", "image"


def records_to_bytes(records: Sequence[Record], kind: str, schema: str) -> bytes:
    """Write a file of records.

    Args:
        records: The records of one schema.
        kind: `jsonl` or `parquet`.
        schema: The schema, which decides the columns of parquet.

    Returns:
        The bytes of the file.

    Raises:
        UnknownNameError: There is no such kind.
        MissingExtraError: pyarrow is not installed.
    """
    if kind == "jsonl":
        return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records).encode()
    if kind == "parquet":
        return _to_parquet(records, schema)
    raise UnknownNameError("kind of file", kind, FILES)


def _to_parquet(records: Sequence[Record], schema: str) -> bytes:
    import_arrow()
    import pyarrow as pa
    from pyarrow import parquet

    text = pa.string()
    picture = pa.struct([("bytes", pa.binary()), ("path", text)])
    pictured = {"feature": {"_type": "Image"}, "_type": "List"}
    value = {"dtype": "string", "_type": "Value"}
    if schema in ("trl", "ms-swift"):
        keys, column = ("role", "content"), "messages"
    else:
        keys, column = ("from", "value"), "conversations"
    turns = pa.list_(pa.struct([(key, text) for key in keys]))
    features: dict[str, Any] = {column: {"feature": dict.fromkeys(keys, value), "_type": "List"}}
    fields = [(column, turns)]
    if schema == "llava":
        fields = [("id", text), ("image", picture), (column, turns)]
        features = {"id": value, "image": {"_type": "Image"}, **features}
    else:
        fields.append(("images", pa.list_(picture)))
        features["images"] = pictured
    # The `datasets` library finds in this note which columns are pictures.
    note = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.Table.from_pylist(
        [_pictured(one) for one in records], schema=pa.schema(fields, metadata=note)
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd", row_group_size=256)
    return buffer.getvalue()


def _pictured(record: Record) -> Record:
    """The record with pictures as the `datasets` library keeps them."""
    made = dict(record)
    if "image" in made:
        made["image"] = _picture(made["image"])
    else:
        made["images"] = [_picture(one) for one in made["images"]]
    return made


def _picture(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"bytes": None, "path": value}


def read_records(path: Path) -> Iterator[Record]:
    """Read the records of a file one after the other; `InputError` names a wrong line."""
    if path.suffix == ".parquet":
        from text4seg.data.arrow_rows import open_arrow_rows

        rows = open_arrow_rows(path, None)
        yield from (rows.row(index) for index in range(len(rows)))
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}: not JSON: {error}") from error
            if not isinstance(record, dict):
                raise InputError(f"{path}, line {number}: an object is expected")
            yield record
