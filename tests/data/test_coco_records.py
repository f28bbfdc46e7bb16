from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.conftest import (
    coco_document,
    write_json,
)
from text4seg.core.run_lengths import mask_to_rle
from text4seg.data import RecordError, Selection, read_dataset


def with_annotation(**changes: Any) -> Callable[[dict], None]:
    return lambda document: document["annotations"][2].update(changes)


SMALL = mask_to_rle(np.ones((2, 2), dtype=bool))


SHORT = {"size": [48, 64], "counts": [5]}


FAULTS = [
    pytest.param(with_annotation(category_id=9), "unknown category id", id="category"),
    pytest.param(with_annotation(segmentation=[[1, 2, 3, 4]]), "bad polygon", id="two points"),
    pytest.param(with_annotation(segmentation=[[1, 2, "x", 4, 5, 6]]), "bad polygon", id="words"),
    pytest.param(
        with_annotation(segmentation=[[90, 90, 99, 90, 99, 99]]),
        "polygon outside the image",
        id="outside",
    ),
    pytest.param(with_annotation(segmentation=SMALL), "mask of another size", id="another size"),
    pytest.param(with_annotation(segmentation=SHORT), "bad run lengths", id="a wrong total"),
    pytest.param(with_annotation(segmentation=None), "no mask", id="no mask"),
    pytest.param(with_annotation(id=100), "duplicate id", id="an id twice"),
    pytest.param(with_annotation(image_id=4), "unknown image id", id="no such image"),
    pytest.param(with_annotation(image_id=None), "bad record", id="no image"),
]


@pytest.mark.parametrize(("change", "kind"), FAULTS)
def test_a_wrong_annotation_is_skipped_and_counted(coco: Path, change: Callable, kind: str) -> None:
    document = coco_document()
    change(document)
    write_json(coco, document)
    reading = read_dataset("coco", coco)
    words = [one.expression for sample in reading for one in sample.targets]
    assert words == ["dog", "dog"]
    assert reading.report.skipped == {kind: 1}
    (message,) = reading.report.messages[kind]
    assert str(coco) in message
    with pytest.raises(RecordError, match="coco") as caught:
        list(read_dataset("coco", coco, selection=Selection(strict=True)))
    assert caught.value.kind == kind
