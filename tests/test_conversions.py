"""Masks in the formats of others, read back by those others."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from text4seg.conversions import (
    cut_out,
    label_map_to_png,
    masks_to_coco,
    masks_to_detections,
    masks_to_svg,
    record_to_value,
    value_to_record,
    value_to_text,
)
from text4seg.core.errors import InputError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import DescriptorGrid, GridShape, Size
from text4seg.data.targets import decode_mask

MASK = np.zeros((20, 30), dtype=np.bool_)
MASK[4:12, 5:25] = True
MASK[6:9, 8:12] = False


def test_a_label_picture_keeps_every_label() -> None:
    grid = DescriptorGrid.from_rows([["others", "dog 1"], ["dog 2", "dog 1"]])
    labels = np.kron(grid.cells, np.ones((2, 3), dtype=np.int32))
    picture = Image.open(io.BytesIO(label_map_to_png(labels, len(grid.labels))))
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), labels)


def test_a_cut_out_is_transparent_outside() -> None:
    image = Image.new("RGB", (30, 20), (9, 8, 7))
    picture = np.asarray(cut_out(image, MASK))
    assert np.array_equal(picture[..., 3] > 0, MASK)
    assert (picture[..., :3] == (9, 8, 7)).all()
    with pytest.raises(InputError, match="20x30"):
        cut_out(image.resize((10, 10)), MASK)


def test_an_outline_fills_to_nearly_the_mask() -> None:
    import cv2

    random = np.random.default_rng(0)
    for mask in (MASK, random.random((12, 17)) < 0.6):
        root = ET.fromstring(masks_to_svg({"a <dog>": mask}))
        (path,) = list(root)
        assert path[0].text == "a <dog>"
        assert root.get("viewBox") == f"0 0 {mask.shape[1]} {mask.shape[0]}"
        scale = 8
        big = np.zeros((mask.shape[0] * scale, mask.shape[1] * scale), np.uint8)
        lines = [
            np.array([point.split() for point in part[1:].split("L")], float) * scale
            for part in (path.get("d") or "").split("Z")[:-1]
        ]
        cv2.fillPoly(big, [np.round(line).astype(np.int32) for line in lines], 1)
        middles = big[scale // 2 :: scale, scale // 2 :: scale] > 0
        assert np.array_equal(middles, mask)
    with pytest.raises(InputError, match="one size"):
        masks_to_svg({})


def test_detections_of_supervision() -> None:
    pytest.importorskip("supervision")
    found = masks_to_detections([("dog", MASK, 0.5), ("cat", ~MASK, 0.25), ("dog", MASK, 1.0)])
    assert found.class_id.tolist() == [0, 1, 0]
    assert np.array_equal(found.mask[1], ~MASK)
    assert found.data["class_name"].tolist() == ["dog", "cat", "dog"]
    assert len(masks_to_detections([])) == 0


def test_between_a_grid_and_boxes_the_pixels_count() -> None:
    size, shape = Size(20, 30), GridShape(4, 4)
    grid = mask_to_grid(MASK, "a dog", shape)
    with pytest.raises(InputError, match="--size"):
        value_to_text(grid, "box", grid=shape)
    boxes = decode_mask(value_to_text(grid, "box", grid=shape, size=size), grid=shape, format="box")
    ((label, pixels),) = boxes.things(size)
    assert label == "a dog"
    assert np.array_equal(pixels, grid.mask("a dog", size))
    text = value_to_text(boxes, "rrle", grid=shape, size=size)
    assert text == value_to_text(grid, "rrle", grid=shape)
    assert record_to_value(value_to_record(boxes)) == boxes
    assert record_to_value(value_to_record(grid)) == grid


def test_coco_annotations_hold_the_masks() -> None:
    full, nothing = masks_to_coco([("dog", MASK), ("cat", ~MASK & False)])
    assert np.array_equal(rle_to_mask(full["segmentation"]), MASK)
    assert (full["bbox"], full["area"]) == ([5, 4, 20, 8], MASK.sum())
    assert (nothing["category_name"], nothing["area"]) == ("cat", 0)
