"""Boxes become a map of classes on the cells, and the detector finds what is plainly there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from text4seg.models.nano.encoders.detector import (
    _CATEGORY_TO_CLASS,
    COCO_CLASSES,
    Detector,
    detect_in_parts,
    detections_to_map,
)
from text4seg.models.nano.encoders.parts import PretrainedParts

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
def test_the_detector_finds_the_cat(parts: PretrainedParts, cat: Image.Image) -> None:
    found = Detector(parts.graph, parts.layout).detect(np.asarray(cat))
    best = found[found[:, 1].argmax()]
    assert COCO_CLASSES[int(best[0])] == "cat"
    assert best[1] > 0.6
    x0, y0, x1, y1 = best[2:]
    assert 0 <= x0 < 0.4
    assert 0.6 < x1 <= 1, "x and y are told apart: the cat's face is wide"
    assert 0 <= y0 < y1 <= 1


def test_parts_find_what_the_whole_misses_and_drop_what_they_cut() -> None:
    """A detector that sees one bright block, if it is a tenth of the picture's side at least."""

    def detect(pixels: np.ndarray) -> np.ndarray:
        rows, cols = (np.flatnonzero(pixels[..., 0].any(axis=axis)) for axis in (1, 0))
        side = len(pixels)
        if not len(rows) or (rows[-1] + 1 - rows[0]) < 0.1 * side:
            return np.zeros((0, 6), dtype=np.float32)
        box = [cols[0], rows[0], cols[-1] + 1, rows[-1] + 1]
        return np.array([[CAT, 0.9, *(edge / side for edge in box)]], dtype=np.float32)

    small = np.zeros((100, 100, 3), dtype=np.uint8)
    small[80:88, 10:18] = 1
    assert len(detect(small)) == 0
    found = detect_in_parts(detect, small)
    assert found.shape == (1, 6)
    assert found[0, 2:] == pytest.approx([0.10, 0.80, 0.18, 0.88])
    wide = np.zeros((100, 100, 3), dtype=np.uint8)
    wide[5:15, 5:95] = 1
    assert detect_in_parts(detect, wide).shape == (1, 6), "cut off in every part, whole in one"
