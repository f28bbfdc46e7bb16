from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from text4seg.core.errors import InputError, UnknownNameError
from text4seg.data import Selection, read_dataset


def test_what_is_wanted(coco: Path) -> None:
    def words(**wanted: Any) -> list[list[str]]:
        reading = read_dataset("coco", coco, selection=Selection(**wanted))
        return [[one.expression for one in sample.targets] for sample in reading]

    assert words(limit=1) == [["dog", "hot dog"]]
    assert words(classes=("hot_dog",)) == [["hot dog"]]
    assert words(min_area=161) == [["dog"], ["dog"]]
    assert words(min_area=0.2) == [["dog"]]


def test_images_need_not_be_there(coco: Path) -> None:
    (coco.parent / "a.png").unlink()
    assert len(list(read_dataset("coco", coco, selection=Selection(check_images=False)))) == 2


def test_wrong_calls(coco: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'coco'"):
        read_dataset("cocoo", coco)
    with pytest.raises(UnknownNameError, match="option of coco"):
        read_dataset("coco", coco, options={"x": "1"})
    with pytest.raises(InputError, match="is laid out as\nFILE"):
        read_dataset("coco", coco.parent / "none")
    with pytest.raises(InputError, match="no folder of images"):
        read_dataset("coco", coco, images="nowhere")
    coco.write_text(json.dumps({"annotations": []}))
    with pytest.raises(InputError, match="lists no image"):
        read_dataset("coco", coco)
