"""Semantic segmentation: label maps against label maps, by confusion matrix.

A label map has the index of a class in every pixel. Pixels whose truth is void are left out. A
prediction may say "none of them", by any value outside the classes: the pixel then misses its own
class and adds to no other. No ignored class is averaged in (adding a class of IoU 0 or 1 to the
mean is a known way to be a point off).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import Float64, Int, Int64

from text4seg.core.errors import InputError

VOID = 255
"""The usual value of pixels that have no true class."""


def confusion_matrix(
    predicted: Int[np.ndarray, "h w"],
    target: Int[np.ndarray, "h w"],
    classes: int,
    *,
    void: int | None = VOID,
) -> Int64[np.ndarray, "classes answers"]:
    """Pixels by true class (rows) and answered class (columns; the last is "none of them").

    The matrices of several images add up.

    Args:
        predicted: The answered class of each pixel; any other value is "none of them".
        target: The true class of each pixel.
        classes: How many classes there are.
        void: The value of pixels without a true class, which are left out; None if there is none.

    Returns:
        Pixel counts.

    Raises:
        InputError: Sizes differ, or the truth has a value that is neither a class nor void.
    """
    if predicted.shape != target.shape:
        raise InputError(
            f"label maps to compare have one size, got {predicted.shape} and {target.shape}"
        )
    truth = target.astype(np.int64)
    judged = np.ones(truth.shape, dtype=bool) if void is None else truth != void
    truth, answer = truth[judged], predicted.astype(np.int64)[judged]
    if truth.size and not (truth.min() >= 0 and truth.max() < classes):
        odd = truth[(truth < 0) | (truth >= classes)][0]
        raise InputError(f"the true label map has the value {odd}, and there are {classes} classes")
    answer = np.where((answer >= 0) & (answer < classes), answer, classes)
    places = truth * (classes + 1) + answer
    counts = np.bincount(places, minlength=classes * (classes + 1))
    return np.asarray(counts.reshape(classes, classes + 1), dtype=np.int64)


def class_ious(
    matrix: Int64[np.ndarray, "classes answers"],
) -> Float64[np.ndarray, " classes"]:
    """IoU of each class, TP / (TP + FP + FN); nan where it is neither true nor answered anywhere.

    Long, Shelhamer and Darrell, CVPR 2015, §5.

    Args:
        matrix: As `confusion_matrix` counts it.

    Returns:
        A share from 0 to 1 for each class, or nan.
    """
    hit = np.diagonal(matrix).astype(np.float64)
    union = matrix.sum(axis=1) + matrix[:, :-1].sum(axis=0) - hit
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(union > 0, hit / np.where(union > 0, union, 1), np.nan))


def mean_class_iou(
    matrix: Int64[np.ndarray, "classes answers"], *, ignored: Collection[int] = ()
) -> float:
    """mIoU: the mean over classes that occur, without the `ignored` ones; nan over none.

    An ignored class still takes pixels from the others where it is answered in their place.

    Args:
        matrix: As `confusion_matrix` counts it.
        ignored: Classes that are not averaged in.

    Returns:
        A share from 0 to 1, or nan.
    """
    kept = [index for index in range(len(matrix)) if index not in ignored]
    values = class_ious(matrix)[kept]
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
