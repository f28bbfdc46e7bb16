from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.readers.helpers import (
    rows_with_images,
    words,
)
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.data import read_dataset


def test_parquet_with_pictures(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pylist(rows_with_images())
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet", row_group_size=2)
    reading = read_dataset("hugging-face", tmp_path, split="train")
    dog, cat = reading
    assert words(dog) == {"dog": 400}
    assert (words(cat), cat.targets[0].mask) == ({"cat": 0}, None)
    assert dog.open_image().size == (64, 48)
    assert reading.report.skipped == {"broken image": 1}
    assert "row 2" in reading.report.messages["broken image"][0]
    with pytest.raises(UnknownNameError, match="column"):
        read_dataset("hugging-face", tmp_path, options={"text": "words"})
    with pytest.raises(InputError, match="has no"):
        read_dataset("hugging-face", tmp_path, split="test")
    (tmp_path / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        read_dataset("hugging-face", tmp_path)


def test_a_folder_that_the_datasets_library_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "mask": datasets.Image(), "caption": datasets.Value("string")}
    )
    rows = [
        {"image": one["image"], "mask": one["mask"], "caption": one["text"]}
        for one in rows_with_images()[:2]
    ]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "saved")
    dog, cat = read_dataset("hugging-face", tmp_path / "saved")
    assert (words(dog), words(cat)) == ({"dog": 400}, {"cat": 0})
