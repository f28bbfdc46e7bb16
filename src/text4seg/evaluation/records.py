"""Predictions and score records: each is made once and carried to the report.

Every report is made of `ScoreRecord`s and of nothing else. A record goes through JSON unchanged,
so what several processes wrote, or a killed run left behind, is put together exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args

from jaxtyping import Bool

from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Box, Size
from text4seg.evaluation.ground_truth import GroundTruth, Rle
from text4seg.metrics import Overlap
from text4seg.segmenter import Validity

if TYPE_CHECKING:
    import numpy as np

    from text4seg.segmenter import Segmentation


_NESTED: Mapping[str, type[Any]] = {
    "size": Size, "box": Box, "pixels": Overlap, "cells": Overlap,
}  # fmt: skip
"""Fields that are lists in JSON, and what they are lists of."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer of any model to one referring target.

    Attributes:
        mask: The predicted mask; None if it is empty.
        text: The mask text, where there is one.
        format: The format of the text.
        grid: Rows x columns of `cells`.
        validity: How the text could be read; None where there was none.
        score: How sure the model was, from 0 to 1; None where unknown, as are the next ones.
        tokens: Tokens of the mask text.
        passes: Forward passes after the prompt.
        seconds: Wall time, with this answer's part of encoding the image.
        cells: The cells of the text that have the label; used for scoring, not kept in records.
    """

    mask: Rle | None
    text: str | None = None
    format: str | None = None
    grid: str | None = None
    validity: Validity | None = None
    score: float | None = None
    tokens: float | None = None
    passes: float | None = None
    seconds: float | None = None
    cells: Bool[np.ndarray, "rows cols"] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, segmentation: Segmentation) -> Prediction:
        """Take what a segmenter answered.

        Args:
            segmentation: The answer.

        Returns:
            The prediction, with the answer's cost.
        """
        stats = segmentation.stats
        cells = segmentation.grid.select(segmentation.expression)
        return cls(
            mask=mask_to_rle(segmentation.mask) if segmentation.mask.any() else None,
            text=segmentation.text,
            format=stats.format,
            grid=grid_of(cells),
            validity=segmentation.validity,
            score=segmentation.score,
            tokens=stats.tokens,
            passes=stats.passes,
            seconds=stats.seconds,
            cells=cells,
        )

    def __post_init__(self) -> None:
        if self.validity not in (None, *get_args(Validity)):
            raise InputError(f"the validity of a text cannot be {self.validity!r}")

    def to_json(self) -> dict[str, Any]:
        """Give the prediction as a line of a prediction file has it.

        Returns:
            Everything that is known but the cells, as plain values; an empty mask is None.
        """
        return {"mask": self.mask, **_known(self, without=("mask", "cells"))}


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """A prediction compared with the ground truth.

    Attributes:
        truth: What is right.
        prediction: What was answered.
        pixels: Pixels of the prediction, of the truth and of both.
        cells: The same in cells of the text; None where there is no text.
        oracle: IoU in pixels of the true mask written on this grid with the true mask itself, the
            best that the grid allows. None where nothing is meant or there is no grid.
        box_iou: IoU of the prediction's box with the annotated one, or with that of the true mask;
            None where nothing is meant.
        boundary: Boundary F; None where it was not measured.
    """

    truth: GroundTruth
    prediction: Prediction
    pixels: Overlap
    cells: Overlap | None = None
    oracle: float | None = None
    box_iou: float | None = None
    boundary: float | None = None

    @property
    def present(self) -> bool:
        """Whether something in the image is meant."""
        return self.pixels.target > 0

    @property
    def size(self) -> Size:
        """The size of the image; one pixel where nothing tells it."""
        for mask in (self.truth.mask, self.prediction.mask):
            if mask is not None:
                return Size(*map(int, mask["size"]))
        return self.truth.size or Size(1, 1)

    @property
    def share(self) -> float:
        """The share of the image that is meant."""
        return self.pixels.target / self.size.pixels

    def to_json(self) -> dict[str, Any]:
        """Give the record as plain values.

        Returns:
            Everything that is known; counts as [predicted, target, both].
        """
        return {
            "truth": _known(self.truth),
            "prediction": self.prediction.to_json(),
            **_known(self, without=("truth", "prediction")),
        }

    @classmethod
    def from_json(cls, record: object) -> ScoreRecord:
        """Read what `to_json` wrote.

        Args:
            record: A JSON object.

        Returns:
            The record.

        Raises:
            InputError: It is no score record.
        """
        try:
            values: dict[str, Any] = {**record}  # type: ignore[dict-item]
            truth = GroundTruth(**{"mask": None} | _read(values.pop("truth")))
            prediction = Prediction(**values.pop("prediction"))
            return cls(truth, prediction, **_read(values))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no score record: {error!r}") from error


def grid_of(cells: Bool[np.ndarray, "rows cols"]) -> str:
    """The shape of a grid as records name it: rows x columns."""
    return "x".join(map(str, cells.shape))


def _known(value: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass that are not None; those of `_NESTED` as lists."""
    found = {}
    for name in (one.name for one in fields(value) if one.name not in without):
        known = getattr(value, name)
        if known is not None:
            found[name] = list(astuple(known)) if name in _NESTED else known
    return found


def _read(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _NESTED[name](*value) if name in _NESTED else value for name, value in values.items()
    }
