from __future__ import annotations

import json

import numpy as np
import pytest

from tests.data.conftest import coco_document
from text4seg.core.errors import InputError
from text4seg.core.geometry import polygons_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.data import coco_texts
from text4seg.data.targets import TargetEncoder

ENCODER = TargetEncoder(grid=GridShape(6, 8))


def test_every_annotation_has_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_texts, "_AT_ONCE", 3)
    document = coco_document()
    found = list(coco_texts.encode_coco(json.dumps(document).encode(), "a.json", ENCODER))
    assert [one["id"] for one in found] == [100, 101, 102, 103]
    assert [one["label"] for one in found] == ["dog", "dog", "hot_dog", "dog"]
    for one, annotation in zip(found, document["annotations"], strict=True):
        mask = polygons_to_mask(annotation["segmentation"], Size(48, 64))
        assert np.any(mask)
        assert one["text"] == ENCODER.encode([(one["label"], mask)])
        assert (one["image_id"], one["size"]) == (annotation["image_id"], [48, 64])


def test_a_label_of_ones_own_and_wrong_annotations() -> None:
    document = coco_document()
    named = coco_texts.encode_coco(json.dumps(document).encode(), "a", ENCODER, label="thing")
    assert {one["label"] for one in named} == {"thing"}
    document["annotations"][1]["segmentation"] = [[1, 2]]
    with pytest.raises(InputError, match=r"a\.json, annotation 1"):
        list(coco_texts.encode_coco(json.dumps(document).encode(), "a.json", ENCODER))
