from __future__ import annotations

from pathlib import Path

from tests.data.conftest import write_image
from tests.data.readers.helpers import (
    LABELS,
    label_map,
    words,
)
from text4seg.data import read_dataset


def test_label_maps_of_ones_own(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "s" / "x.jpg")
    label_map(tmp_path / "masks" / "s" / "x.png")
    (tmp_path / "names.txt").write_text("background\nroad\nside_walk\n")
    (sample,) = read_dataset("label-maps", tmp_path)
    assert words(sample) == {"road": 640, "side walk": 560}
    (tmp_path / "names.txt").write_text("1: road\n")
    (sample,) = reading = read_dataset("label-maps", tmp_path)
    assert words(sample) == {"road": 640}
    assert reading.report.skipped == {"unknown label": 1}
    label_map(tmp_path / "masks" / "s" / "x.png", LABELS[:-1])
    reading = read_dataset("label-maps", tmp_path)
    assert list(reading) == []
    assert reading.report.skipped["mask of another size"] == 1
    (tmp_path / "masks" / "s" / "x.png").unlink()
    reading = read_dataset("label-maps", tmp_path)
    assert list(reading) == []
    assert reading.report.skipped == {"missing mask": 1}


def test_label_maps_as_cityscapes_names_them(tmp_path: Path) -> None:
    write_image(tmp_path / "leftImg8bit" / "val" / "ulm" / "ulm_1_leftImg8bit.png")
    label_map(tmp_path / "gtFine" / "val" / "ulm" / "ulm_1_gtFine_labelIds.png")
    (tmp_path / "names.txt").write_text("1: road\n2: car\n")
    options = {"image_suffix": "_leftImg8bit", "map_suffix": "_gtFine_labelIds"}
    (sample,) = read_dataset("label-maps", tmp_path, split="val", options=options)
    assert words(sample) == {"road": 640, "car": 560}
