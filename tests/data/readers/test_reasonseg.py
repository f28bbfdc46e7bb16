from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import SIZE, write_image, write_json
from text4seg.core.errors import InputError
from text4seg.data import read_dataset


def reason(path: Path, shapes: list[dict], **more: Any) -> Path:
    document = {
        "text": ["the one that barks", "which barks?"],
        "is_sentence": True,
        "shapes": shapes,
    }
    return write_json(path, document | more)


def square(label: str, start: int, end: int) -> dict:
    points = [[start, start], [end, start], [end, end], [start, end]]
    return {"label": label, "labels": [label], "shape_type": "polygon", "points": points}


def test_reasonseg_draws_small_over_large(tmp_path: Path) -> None:
    write_image(tmp_path / "val" / "x.jpg")
    shapes = [square("ignore", 5, 9), square("target", 2, 20), square("flag", 0, 40)]
    reason(tmp_path / "val" / "x.json", shapes)
    (sample,) = read_dataset("reasonseg", tmp_path, split="val")
    assert [one.expression for one in sample.targets] == ["the one that barks", "which barks?"]
    assert sample.targets[0].to_mask(SIZE).sum() == 19 * 19 - 25
    assert sample.void is not None
    assert sample.void.area() == 25
    reason(tmp_path / "val" / "x.json", [{"label": "target", "points": [[1, 2], [3, 4]]}])
    reading = read_dataset("reasonseg", tmp_path, split="val")
    assert list(reading) == []
    assert reading.report.skipped == {"bad polygon": 1}
    with pytest.raises(InputError, match="reasonseg is laid out as"):
        read_dataset("reasonseg", tmp_path / "val" / "x.jpg")
