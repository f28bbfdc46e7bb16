from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.conftest import SQUARE, write_image
from tests.data.readers.helpers import (
    words,
)
from text4seg.core.errors import InputError
from text4seg.data import read_dataset


@pytest.mark.parametrize("nested", [False, True])
def test_yolo(tmp_path: Path, nested: bool) -> None:
    images, labels = (
        ("train/images", "train/labels") if nested else ("images/train", "labels/train")
    )
    write_image(tmp_path / images / "a.png")
    write_image(tmp_path / images / "b.png")
    shares = " ".join(f"{value / (64, 48)[at % 2]:.6f}" for at, value in enumerate(SQUARE))
    (tmp_path / labels).mkdir(parents=True)
    text = f"1 {shares}\n\n7 {shares}\n0 0.5 0.5 0.2 0.2\n1 x\n1 0.1 0.1 0.2 0.2 0.3\n"
    (tmp_path / labels / "a.txt").write_text(text)
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: {0: cat, 1: hot_dog}\n")
    reading = read_dataset("yolo-seg", tmp_path)
    (sample,) = reading
    assert words(sample) == {"hot dog": 400}
    assert sample.absent == ("cat",)
    kinds = {"unknown category id": 1, "no mask": 1, "bad record": 1, "bad polygon": 1}
    assert reading.report.skipped == kinds
    (tmp_path / "data.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(InputError, match="no list of names"):
        read_dataset("yolo-seg", tmp_path)
