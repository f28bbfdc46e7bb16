"""Boxes become a map of classes on the cells, and the detector finds what is plainly there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from text4seg.models.nano.detector import (
    _CATEGORY_TO_CLASS,
    COCO_CLASSES,
    Detector,
    detections_to_map,
)
from text4seg.models.nano.parts import Parts

CAT, DOG = COCO_CLASSES.index("cat"), COCO_CLASSES.index("dog")


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 6)


def test_a_box_on_cell_borders_covers_its_cells_and_no_others() -> None:
    found = detections_to_map(boxes((CAT, 0.5, 0.25, 0.5, 0.75, 1.0)), 4, 8)
    expected = np.zeros((4, 8), dtype=np.float32)
    expected[2:4, 2:6] = 0.5
    assert found.shape == (4, 8, 80)
    assert np.allclose(found[:, :, CAT], expected)
    assert found.sum() == pytest.approx(expected.sum()), "and no other class"


def test_a_cell_that_is_covered_in_part_gets_that_share() -> None:
    found = detections_to_map(boxes((DOG, 1.0, 0.0, 0.0, 0.625, 0.25)), 2, 2)[:, :, DOG]
    assert np.allclose(found, [[0.5, 0.125], [0.0, 0.0]])


def test_of_two_boxes_of_a_class_the_stronger_one_counts() -> None:
    weak, strong = (CAT, 0.3, 0.0, 0.0, 1.0, 1.0), (CAT, 0.9, 0.0, 0.0, 0.5, 0.5)
    for order in ((weak, strong), (strong, weak)):
        found = detections_to_map(boxes(*order), 2, 2)[:, :, CAT]
        assert np.allclose(found, [[0.9, 0.3], [0.3, 0.3]])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((), id="no boxes"),
        pytest.param(((CAT, 1.0, 0.5, 0.5, 0.5, 0.5),), id="an empty box"),
        pytest.param(((CAT, 1.0, 0.9, 0.9, 0.1, 0.1),), id="a box inside out"),
    ],
)
def test_nothing_gives_an_empty_map(rows: tuple[tuple[float, ...], ...]) -> None:
    found = detections_to_map(boxes(*rows), 16, 16)
    assert found.shape == (16, 16, 80)
    assert found.dtype == np.float32
    assert not found.any()


def test_coco_has_eighty_classes_and_ten_gaps() -> None:
    assert len(set(COCO_CLASSES)) == len(COCO_CLASSES) == 80
    named = {
        1: "person",
        11: "fire hydrant",
        13: "stop sign",
        17: "cat",
        18: "dog",
        90: "toothbrush",
    }
    assert {c: COCO_CLASSES[_CATEGORY_TO_CLASS[c]] for c in named} == named
    assert not {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 0, 91} & _CATEGORY_TO_CLASS.keys()
    assert sorted(_CATEGORY_TO_CLASS.values()) == list(range(80))


@pytest.mark.nano
def test_the_detector_finds_the_cat(parts: Parts, cat: Image.Image) -> None:
    found = Detector(parts.graph, parts.layout).detect(np.asarray(cat))
    best = found[found[:, 1].argmax()]
    assert COCO_CLASSES[int(best[0])] == "cat"
    assert best[1] > 0.6
    x0, y0, x1, y1 = best[2:]
    assert 0 <= x0 < 0.4
    assert 0.6 < x1 <= 1, "x and y are told apart: the cat's face is wide"
    assert 0 <= y0 < y1 <= 1
