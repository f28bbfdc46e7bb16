"""One scored answer, small enough to keep. Every report is made of rows and of nothing else.

A row goes through JSON unchanged: what several processes wrote, or a killed run left behind, is
put together exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, cast, get_args

from text4seg.core.errors import InputError
from text4seg.metrics import Overlap
from text4seg.segmenter import Validity

Rle: TypeAlias = Mapping[str, Any]
"""COCO run lengths."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one question was answered.

    Attributes:
        index: The question's place in its data set, from 0.
        image: The image, as the data set names it.
        expression: What was asked for.
        set: The name under which figures are gathered.
        size: Height and width of the image in pixels.
        pixels: Pixels of the answer, of the truth and of both.
        truth: The true mask; None where nothing is meant.
        answer: The answered mask; None if it is empty.
        cells: The same as `pixels` in cells of the text; None where there is no text.
        oracle: IoU in pixels of the true mask written on this grid with the true mask itself:
            the best that the format allows. None where nothing is meant or there is no grid.
        box_iou: IoU of the answer's box with the annotated one, or with that of the true mask;
            None where nothing is meant.
        boundary: F of the outlines; None where it was not measured.
        validity: How the text could be read; None where there was no text.
        tokens: Tokens of the mask text; None where unknown, as are the next ones.
        passes: Forward passes after the prompt.
        seconds: Wall time, with the question's part of opening the image.
        score: How sure the model was.
        grid: Rows x columns of the text.
        format: The format of the text.
        text: The text itself.
    """

    index: int
    image: str
    expression: str
    set: str
    size: tuple[int, int]
    pixels: Overlap
    truth: Rle | None = None
    answer: Rle | None = None
    cells: Overlap | None = None
    oracle: float | None = None
    box_iou: float | None = None
    boundary: float | None = None
    validity: Validity | None = None
    tokens: float | None = None
    passes: float | None = None
    seconds: float | None = None
    score: float | None = None
    grid: str | None = None
    format: str | None = None
    text: str | None = None

    @property
    def present(self) -> bool:
        """Whether something in the image is meant."""
        return self.pixels.target > 0

    @property
    def share(self) -> float:
        """The share of the image that is meant."""
        return self.pixels.target / (self.size[0] * self.size[1])

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, without what is not known."""
        record = {key: value for key, value in asdict(self).items() if value is not None}
        record["size"] = list(self.size)
        for key in ("pixels", "cells"):
            counted: Overlap | None = getattr(self, key)
            if counted is not None:
                record[key] = [counted.predicted, counted.target, counted.both]
        return record

    @classmethod
    def from_json(cls, record: object) -> Row:
        """The row that `to_json` wrote; raises `InputError`."""
        if not isinstance(record, dict):
            raise InputError(f"a row is an object, got {type(record).__name__}")
        values = dict(cast("dict[str, Any]", record))
        try:
            values["size"] = tuple(map(int, values["size"]))
            for key in ("pixels", "cells"):
                if values.get(key) is not None:
                    values[key] = Overlap(*map(int, values[key]))
            row = cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no row of an evaluation: {error}") from error
        if row.validity not in (None, *get_args(Validity)):
            raise InputError(f"the validity of a row cannot be {row.validity!r}")
        return row


def merge(parts: Iterable[Iterable[Row]]) -> list[Row]:
    """Rows of several processes in the order of the data set.

    Raises:
        InputError: Two rows answer the same question in different ways.
    """
    rows: dict[int, Row] = {}
    for part in parts:
        for row in part:
            known = rows.setdefault(row.index, row)
            if (known.image, known.expression) != (row.image, row.expression):
                raise InputError(
                    f"question {row.index} is {known.expression!r} of {known.image} in one part "
                    f"and {row.expression!r} of {row.image} in another"
                )
    return [rows[index] for index in sorted(rows)]
