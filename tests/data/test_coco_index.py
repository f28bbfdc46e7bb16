from __future__ import annotations

from pathlib import Path

import pytest

from text4seg.core.errors import InputError
from text4seg.data import read_dataset


def test_a_file_cut_off(coco: Path) -> None:
    text = coco.read_text()
    coco.write_text(text[: text.index('"id": 102')])
    reading = read_dataset("coco", coco)
    assert reading.report.skipped == {"truncated JSON": 1}
    assert [sample.id for sample in reading] == []
    coco.write_text(text[:40])
    with pytest.raises(InputError, match="stops at byte 40"):
        read_dataset("coco", coco)
