from __future__ import annotations

from pathlib import Path

from tests.data.readers.helpers import (
    MASK,
    rows_with_images,
    words,
)
from text4seg.core.run_lengths import mask_to_rle
from text4seg.data import read_dataset


def test_refcoco_m(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    sample = {
        "id": 5, "image_id": 7, "category": "dog", "supercategory": "animal", "label": "dog",
        "sentences": ["left dog", "the dog"], "bbox": [10.0, 10.0, 20.0, 20.0],
        "mask": mask_to_rle(MASK),
    }  # fmt: skip
    short = sample | {"id": 6, "mask": {"size": [48, 64], "counts": "11"}}
    row = {"image": rows_with_images()[0]["image"], "image_id": 7, "file_name": "a.jpg"}
    table = pa.Table.from_pylist([row | {"samples": [sample, short]}])
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "validation-00000-of-00002.parquet")
    reading = read_dataset("refcoco-m", tmp_path)
    (found,) = reading
    assert words(found) == {"left dog": 400, "the dog": 400}
    assert found.targets[0].box is not None
    assert reading.report.skipped == {"bad run lengths": 2}
