"""Open-vocabulary semantic segmentation: each pixel gets one of some names; scored by mean IoU.

Each name is asked for by itself, so any model that segments by an expression can do it, however
many names there are: a pixel goes to the name that is likeliest in its cell among those whose
mask, as the refiner drew it, holds the pixel; a pixel that no mask holds is none of them. A model
that was trained on lists of names is asked for many in one question: its cells are then blocks of
pixels, and where the names take several questions, what an earlier one named stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int64

from text4seg.core.errors import InputError
from text4seg.core.geometry import resize_probability
from text4seg.core.types import Size, centers
from text4seg.data import Sample
from text4seg.metrics import class_ious, confusion_matrix, mean_class_iou
from text4seg.metrics.semantic import VOID
from text4seg.segmenter.naming import name_cells

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.segmenter import Segmenter

NONE = -1


def label_map(
    segmenter: Segmenter, image: Image, names: Sequence[str], *, chunk: int = 32, together: int = 1
) -> Int64[np.ndarray, "h w"]:
    """Label each pixel with one of some names.

    Args:
        segmenter: The segmenter.
        image: The image.
        names: The names, each a legal label.
        chunk: How many names are asked together; the image is opened once for them, and their
            answers are held in memory. It does not change the result.
        together: How many names are put into one question; with more than one, all answers are
            taken as cells.

    Returns:
        The place of a name in `names` for each pixel, -1 where none of them is.
    """
    if together > 1:
        return _named_together(segmenter, image, names, together)
    best = np.zeros((image.height, image.width), dtype=np.float32)
    labels = np.full(best.shape, NONE, dtype=np.int64)
    size = Size(image.height, image.width)
    for start in range(0, len(names), chunk):
        answers = segmenter.segment_many(image, names[start : start + chunk])
        for index, answer in enumerate(answers, start=start):
            if not answer.mask.any():
                continue
            # A refiner may go beyond the cells of the text: there the probability is that of
            # its cell, but at least a little above nothing.
            probability: Float32[np.ndarray, "h w"] = resize_probability(
                answer.probability, size, "nearest"
            )
            likelier = answer.mask & (np.maximum(probability, 1e-6) > best)
            labels[likelier] = index
            best[likelier] = np.maximum(probability, 1e-6)[likelier]
    return labels


def _named_together(
    segmenter: Segmenter, image: Image, names: Sequence[str], together: int
) -> Int64[np.ndarray, "h w"]:
    labels = np.full((image.height, image.width), NONE, dtype=np.int64)
    place = {name: index for index, name in enumerate(names)}
    for start in range(0, len(names), together):
        grid = name_cells(segmenter, image, names[start : start + together])
        number = np.array([place.get(label, NONE) for label in grid.labels], dtype=np.int64)
        rows, cols = grid.cells.shape
        at = np.ix_(centers(image.height, rows), centers(image.width, cols))
        predicted = number[grid.cells[at]]
        labels = np.where(labels == NONE, predicted, labels)
    return labels


def true_map(sample: Sample, names: Sequence[str], size: Size) -> Int64[np.ndarray, "h w"]:
    """Give the place of the true name of each pixel; void where nobody annotated one.

    Where masks overlap, the smaller thing lies in front.

    Raises:
        InputError: A mask does not fit the image.
    """
    index = {name: place for place, name in enumerate(names)}
    masks = [
        (index[target.expression], target.to_mask(size))
        for target in sample.targets
        if target.mask is not None and target.expression in index
    ]
    labels = np.full((size.height, size.width), _void(names), dtype=np.int64)
    for place, mask in sorted(masks, key=lambda pair: -int(pair[1].sum())):
        labels[mask] = place
    if sample.void is not None:
        labels[sample.void.to_mask()] = _void(names)
    return labels


def _void(names: Sequence[str]) -> int:
    return max(VOID, len(names))


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Pixels of all images by true and answered name; the last column is "none of them"."""

    names: tuple[str, ...]
    matrix: Int64[np.ndarray, "classes answers"]
    images: int

    def to_json(self) -> dict[str, Any]:
        """MIoU and the IoU of each name that occurs, as plain values."""
        values = class_ious(self.matrix)
        known = {
            name: float(value)
            for name, value in zip(self.names, values, strict=True)
            if not np.isnan(value)
        }
        mean = mean_class_iou(self.matrix)
        total = int(self.matrix.sum())
        return {
            "images": self.images,
            "classes": len(self.names),
            "miou": None if np.isnan(mean) else mean,
            "pixel_accuracy": float(np.trace(self.matrix[:, :-1]) / total) if total else None,
            "none_of_them": float(self.matrix[:, -1].sum() / total) if total else None,
            "ious": known,
        }


def score_semantics(
    segmenter: Segmenter,
    sample: Sample,
    names: Sequence[str],
    *,
    chunk: int = 32,
    together: int = 1,
) -> dict[str, Any]:
    """Count the confusion of one image.

    Args:
        segmenter: The segmenter.
        sample: The image with the masks of its names.
        names: The names to ask for.
        chunk: As in `label_map`.
        together: As in `label_map`.

    Returns:
        `cells`, a list of [true name, answered name, pixels], as plain values.

    Raises:
        InputError: The image or a mask is broken.
    """
    image = sample.open_image()
    truth = true_map(sample, names, Size(image.height, image.width))
    predicted = label_map(segmenter, image, names, chunk=chunk, together=together)
    matrix = confusion_matrix(predicted, truth, len(names), void=_void(names))
    at = np.argwhere(matrix)
    return {"cells": [[*pair, int(matrix[tuple(pair)])] for pair in at.tolist()]}


def sum_confusions(results: Iterable[Mapping[str, Any]], names: Sequence[str]) -> Confusion:
    """The confusion of all images; raises `InputError` where they are those of other names."""
    total = np.zeros((len(names), len(names) + 1), dtype=np.int64)
    images = 0
    for result in results:
        images += 1
        try:
            for true, answered, pixels in result["cells"]:
                total[true, answered] += pixels
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"the result of an image is none of these names: {error}") from error
    return Confusion(tuple(names), total, images)
