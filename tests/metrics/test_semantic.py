from __future__ import annotations

import math

import numpy as np
import pytest

from text4seg.core.errors import InputError
from text4seg.metrics import class_ious, confusion_matrix, mean_class_iou

TRUTH = np.array([[0, 0, 1, 255], [0, 2, 1, 255]])
ANSWER = np.array([[0, 1, 1, 0], [0, 2, 9, 1]])


def test_a_case_by_hand() -> None:
    matrix = confusion_matrix(ANSWER, TRUTH, 4)
    assert matrix.tolist() == [
        [2, 1, 0, 0, 0],
        [0, 1, 0, 0, 1],  # a pixel of class 1 was called none of them
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert class_ious(matrix) == pytest.approx([2 / 3, 1 / 3, 1, math.nan], nan_ok=True)
    assert mean_class_iou(matrix) == pytest.approx((2 / 3 + 1 / 3 + 1) / 3)


def test_an_ignored_class_is_not_averaged_in() -> None:
    matrix = confusion_matrix(ANSWER, TRUTH, 4)
    assert mean_class_iou(matrix, ignored={2}) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert math.isnan(mean_class_iou(matrix, ignored=range(4)))


def test_void_pixels_do_not_count_whatever_is_answered() -> None:
    other = ANSWER.copy()
    other[:, 3] = 2
    assert np.array_equal(confusion_matrix(other, TRUTH, 4), confusion_matrix(ANSWER, TRUTH, 4))


def test_images_add_up() -> None:
    once = confusion_matrix(ANSWER, TRUTH, 4)
    doubled = confusion_matrix(np.tile(ANSWER, (2, 1)), np.tile(TRUTH, (2, 1)), 4)
    assert np.array_equal(once + once, doubled)


def test_wrong_maps_are_refused(unchecked: None) -> None:
    with pytest.raises(InputError, match="value 2, and there are 2 classes"):
        confusion_matrix(ANSWER, TRUTH, 2)
    with pytest.raises(InputError, match="value 255"):
        confusion_matrix(ANSWER, TRUTH, 4, void=None)
    with pytest.raises(InputError, match="one size"):
        confusion_matrix(ANSWER[:1], TRUTH, 4)
