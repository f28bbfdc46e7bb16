from __future__ import annotations

from pathlib import Path

import pytest

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.data.schemas import image_of_record, turns_of
from text4seg.data.shards import read_records, records_to_bytes

RECORDS = [
    {
        "messages": [
            {"role": "user", "content": f"Where is ü{number}?"},
            {"role": "assistant", "content": "<seg>others *4</seg>"},
        ],
        "images": [f"/images/{number}.jpg"],
    }
    for number in range(3)
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_records_there_and_back(tmp_path: Path, kind: str) -> None:
    data = records_to_bytes(RECORDS, kind, "trl")
    assert data == records_to_bytes(RECORDS, kind, "trl")
    path = tmp_path / f"part.{kind}"
    path.write_bytes(data)
    found = list(read_records(path))
    assert [turns_of(one) for one in found] == [turns_of(one) for one in RECORDS]
    image = image_of_record(found[1])
    assert image in ("/images/1.jpg", {"bytes": None, "path": "/images/1.jpg"})


def test_wrong_kinds_and_lines_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="kind of file"):
        records_to_bytes(RECORDS, "csv", "trl")
    path = tmp_path / "part.jsonl"
    for line, message in (("{", "line 2: not JSON"), ("3", "line 2: an object is expected")):
        path.write_text(f"{{}}\n{line}\n")
        with pytest.raises(InputError, match=message):
            list(read_records(path))
