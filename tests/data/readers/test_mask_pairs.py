from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.data.conftest import write_image, write_json
from tests.data.readers.helpers import (
    MASK,
    png,
    words,
)
from text4seg.data import read_dataset


def test_pairs_of_pictures_named_in_three_ways(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_image(tmp_path / "images" / f"{name}.jpg")
    for place in ("a__the_dog", "a__cat", "red car/b", "c", "ghost__x"):
        path = tmp_path / "masks" / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(MASK.astype(np.uint8) * 255))
    write_json(tmp_path / "labels.json", {"c.png": "my thing"})
    reading = read_dataset("mask-pairs", tmp_path)
    assert [words(sample) for sample in reading] == [
        {"cat": 400, "the dog": 400}, {"red car": 400}, {"my thing": 400},
    ]  # fmt: skip
    assert reading.report.skipped == {"missing mask": 1, "missing image": 1}
    (tmp_path / "labels.json").unlink()
    reading = read_dataset("mask-pairs", tmp_path, options={"label": "thing"})
    assert [list(words(sample)) for sample in reading][2] == ["thing"]
    (tmp_path / "masks" / "c.png").write_bytes(png(np.ones((5, 5), dtype=np.uint8)))
    reading = read_dataset("mask-pairs", tmp_path, options={"label": "thing"})
    assert len(list(reading)) == 2
    assert reading.report.skipped["mask of another size"] == 1
