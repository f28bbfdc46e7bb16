"""What a segmentation is turned into."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.segmenter.conftest import IMAGE, chat
from text4seg.core.errors import MissingExtraError
from text4seg.core.run_lengths import rle_to_mask
from text4seg.images import open_image, open_mask
from text4seg.segmenter import Segmenter


def test_saving_writes_two_pictures(tmp_path: Path) -> None:
    found = Segmenter(chat())(IMAGE, "the dog")
    mask, overlay = found.save(tmp_path / "new" / "folder", "photo.dog")
    assert (mask.name, overlay.name) == ("photo.dog.mask.png", "photo.dog.overlay.png")
    assert np.array_equal(open_mask(mask), found.mask)
    assert open_image(overlay).size == IMAGE.size


def test_supervision() -> None:
    pytest.importorskip("supervision", exc_type=ImportError)
    dog, cat = Segmenter(chat()).segment_many(IMAGE, ["the dog", "the cat"])
    found = dog.to_supervision()
    assert found.xyxy.tolist() == [[20, 24, 100, 48]]
    assert np.array_equal(found.mask[0], dog.mask)
    assert found.data["class_name"].tolist() == ["the dog"]
    assert len(cat.to_supervision()) == 0


def test_without_supervision_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r"text4seg\[supervision\]"):
        Segmenter(chat())(IMAGE, "the dog").to_supervision()


def test_coco_and_json() -> None:
    found = Segmenter(chat())(IMAGE, "the dog")
    coco = found.to_coco()
    assert coco["bbox"] == [20, 24, 80, 24]
    assert coco["area"] == 80 * 24
    assert np.array_equal(rle_to_mask(coco["segmentation"]), found.mask)
    record = json.loads(json.dumps(found.to_record()))
    assert record["box"] == [20, 24, 100, 48]
    assert record["text"] == found.text
    assert record["stats"]["grid"] == "16x16"
