from __future__ import annotations

from pathlib import Path

import pytest

from text4seg.core.errors import InputError
from text4seg.data import RecordError
from text4seg.data.arrow_rows import open_arrow_rows, read_picture

pa = pytest.importorskip("pyarrow")


def write(path: Path, values: list[int], *, group: int = 2) -> Path:
    from pyarrow import parquet

    parquet.write_table(pa.table({"value": values}), path, row_group_size=group)
    return path


def test_rows_run_on_over_groups_and_files(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [0, 1, 2, 3, 4])
    write(tmp_path / "train-1.parquet", [5, 6, 7])
    write(tmp_path / "test-0.parquet", [8])
    rows = open_arrow_rows(tmp_path, "train")
    assert [rows.row(at)["value"] for at in range(len(rows))] == list(range(8))
    assert rows.columns == ("value",)
    assert rows.place(3).endswith("train-0.parquet, row 3")
    assert rows.place(7).endswith("train-1.parquet, row 2")


def test_files_that_do_not_fit_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no \.parquet or \.arrow file"):
        open_arrow_rows(tmp_path, None)
    write(tmp_path / "a.parquet", [1])
    from pyarrow import parquet

    parquet.write_table(pa.table({"other": [1]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="has the columns"):
        open_arrow_rows(tmp_path, None)


def test_a_picture_is_bytes_or_a_path_below_the_images(tmp_path: Path) -> None:
    path, content = read_picture({"bytes": b"x", "path": "in/a.png"}, None, "row 1")
    assert (path.name, content) == ("row 1, a.png", b"x")
    assert read_picture("a.png", tmp_path, "row 1") == (tmp_path / "a.png", None)
    for value, folder, kind in (
        (5, None, "bad record"),
        ("a.png", None, "missing image"),
        ("../a.png", tmp_path, "path outside the folder"),
    ):
        with pytest.raises(RecordError) as caught:
            read_picture(value, folder, "row 1")
        assert caught.value.kind == kind
