from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.data.conftest import write_image
from tests.data.readers.helpers import (
    LABELS,
    words,
)
from text4seg.data import read_dataset
from text4seg.data.readers.pascal_part import part_name


def matlab_parts(path: Path) -> None:
    """A file of PASCAL-Part: structs in cells of structs, as MATLAB saves them."""
    from scipy.io import savemat

    head = (LABELS == 1).astype(np.uint8)
    part = np.zeros((1, 2), dtype=[("part_name", "O"), ("mask", "O")])
    part[0, 0] = ("head", head)
    part[0, 1] = ("lfleg", (LABELS == 2).astype(np.uint8))
    thing = np.zeros(
        (1, 1), dtype=[("class", "O"), ("class_ind", "O"), ("mask", "O"), ("parts", "O")]
    )
    thing[0, 0] = ("dog", 12.0, (LABELS % 255 > 0).astype(np.uint8), part)
    anno: Any = np.zeros((1, 1), dtype=[("imname", "O"), ("objects", "O")])
    anno[0, 0] = ("x", thing)
    path.parent.mkdir(parents=True)
    savemat(path, {"anno": anno})


def test_pascal_part(tmp_path: Path) -> None:
    matlab_parts(tmp_path / "Annotations_Part" / "x.mat")
    write_image(tmp_path / "JPEGImages" / "x.jpg")
    (sample,) = reading = read_dataset("pascal-part", tmp_path)
    assert reading.report.skipped == {}
    expected = {"dog": 1200, "head of the dog": 640, "left front leg of the dog": 560}
    assert words(sample) == expected
    assert [one.whole for one in sample.targets] == ["", "dog", "dog"]
    (tmp_path / "Annotations_Part" / "y.mat").write_bytes(b"MATLAB 5.0 MAT-file, but cut")
    reading = read_dataset("pascal-part", tmp_path)
    assert len(list(reading)) == 1
    assert reading.report.skipped == {"broken mask": 1}


def test_names_of_parts() -> None:
    said = {"leye": "left eye", "wheel_12": "wheel", "rebrow": "right eyebrow", "torso": "torso"}
    assert {raw: part_name(raw) for raw in said} == said
