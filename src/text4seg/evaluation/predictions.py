"""Predictions of any model: run lengths, polygons or raw text in JSON Lines, or mask pictures.

A line is an object. `image` (or `image_id`) names the image as the data set does: by its path, its
file name, its stem or its id. `expression` may be left out where the image has one target. The
answer stands under one of

- `mask`: COCO run lengths, or null for an empty answer;
- `segmentation`: run lengths, or polygons as COCO writes them;
- `text`: what the model wrote, read on the given grid in the given format: strictly, or else
  salvaged; the prediction's validity says which.

`score`, `tokens`, `passes` and `seconds` are kept where they are given.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from text4seg.codec import Format
from text4seg.codec.answer import find_body
from text4seg.core.errors import InputError
from text4seg.core.files import mask_file, mask_stem
from text4seg.core.geometry import cells_to_mask, polygons_to_mask
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import GridShape, Size
from text4seg.evaluation.ground_truth import GroundTruth, Rle
from text4seg.evaluation.records import Prediction, grid_of
from text4seg.segmenter import read_text

COSTS = ("tokens", "passes", "seconds", "score")


@dataclass(frozen=True, slots=True)
class TextReader:
    """How raw mask text is read.

    Attributes:
        shape: The grid of the text.
        format: Its format.
    """

    shape: GridShape
    format: Format[Any]

    def read(self, text: str, expression: str, size: Size) -> Prediction:
        """Read the mask that a text describes, whatever the text.

        Args:
            text: What a model wrote; a mask may stand anywhere in it.
            expression: What was asked for; the label in the text.
            size: The size of the image.

        Returns:
            The prediction with its cells and validity.
        """
        value, _, validity = read_text(self.format, find_body(text), self.shape, expression)
        cells = self.format.to_grid(value).select(expression)
        return Prediction(
            mask=mask_to_rle(cells_to_mask(cells, size)) if cells.any() else None,
            text=text,
            format=self.format.name,
            grid=grid_of(cells),
            validity=validity,
            cells=cells,
        )


@dataclass(slots=True)
class PredictionMatcher:
    """Finds the target that a prediction answers.

    Attributes:
        truths: The targets of the data set.
        ids: Other names of images, such as their ids, and the names that `truths` have for them.
    """

    truths: Sequence[GroundTruth]
    ids: Mapping[str, str] = field(default_factory=dict)
    _images: dict[str, set[str]] = field(default_factory=dict)
    _targets: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, truth in enumerate(self.truths):
            of_image = self._targets.setdefault(truth.image, {})
            if not of_image:
                path = Path(truth.image)
                for name in {truth.image, path.name, path.stem}:
                    self._images.setdefault(name, set()).add(truth.image)
            of_image.setdefault(truth.expression, []).append(place)
        for name, image in self.ids.items():
            self._images.setdefault(name, set()).add(image)

    def find(self, name: str, expression: str | None) -> list[int]:
        """Find the targets of an image with an expression.

        Args:
            name: The image: its path, file name, stem or id.
            expression: The expression; None where the image has one target.

        Returns:
            The places of the targets in `truths`, at least one.

        Raises:
            InputError: There is none, or the name may be that of several images.
        """
        found = self._images.get(name, set())
        images = {name} if name in self._targets else found
        if not images:
            raise InputError(f"the truth has no image {name!r}")
        if len(images) > 1:
            some = ", ".join(sorted(images)[:3])
            raise InputError(f"{name!r} may be any of {some}: write the path as the truth does")
        of_image = self._targets[next(iter(images))]
        if expression is None:
            places = [place for some in of_image.values() for place in some]
            if len(places) > 1:
                raise InputError(f'{name!r} has {len(places)} questions: "expression" is missing')
            return places
        if expression not in of_image:
            raise InputError(f"the truth does not ask for {expression!r} of {name!r}")
        return of_image[expression]


def read_prediction_file(
    path: Path, matcher: PredictionMatcher, *, text: TextReader | None = None
) -> dict[int, Prediction]:
    """Read a JSON Lines file of predictions.

    Args:
        path: The file.
        matcher: Finds the targets that the lines answer.
        text: How raw text is read; None refuses it.

    Returns:
        The predictions by the place of their target.

    Raises:
        InputError: The file cannot be read, or a line is wrong; file and line are named.
    """
    lines = ((f"{path}, line {number}", line) for number, line in _lines(path))
    return match_predictions(lines, matcher, text=text)


def match_predictions(
    lines: Iterable[tuple[str, str | Mapping[str, Any]]],
    matcher: PredictionMatcher,
    *,
    text: TextReader | None = None,
) -> dict[int, Prediction]:
    """Match predictions with their targets; those of one target asked twice are taken in order.

    Args:
        lines: Where each prediction stands, for messages, and the prediction: an object or JSON.
        matcher: Finds the targets.
        text: How raw text is read; None refuses it.

    Returns:
        The predictions by the place of their target.

    Raises:
        InputError: A prediction is wrong, or its target has one already.
    """
    found: dict[int, Prediction] = {}
    for where, line in lines:
        try:
            record = json.loads(line) if isinstance(line, str) else line
            if not isinstance(record, Mapping):
                raise InputError(f"an object is expected, not {type(record).__name__}")
            places = matcher.find(_image_name(record), record.get("expression"))
            free = [place for place in places if place not in found]
            if not free:
                raise InputError("this question has its answer already")
            found[free[0]] = _parse(record, matcher.truths[free[0]], text)
        except (ValueError, RecursionError, InputError) as error:
            raise InputError(f"{where}: {error}") from error
    return found


def read_mask_files(folder: Path, truths: Sequence[GroundTruth]) -> dict[int, Prediction]:
    """Read a folder of mask pictures, such as `text4seg segment` writes.

    Of an image `cat.jpg` asked for "the cat", the picture is `cat.the-cat.mask.png`,
    `cat.the-cat.png`, or, where the image has one target, `cat.png`.

    Args:
        folder: The folder.
        truths: The targets.

    Returns:
        The predictions by the place of their target.

    Raises:
        InputError: No picture has a name that fits, or one is broken.
    """
    from text4seg.images import open_mask

    targets = Counter(truth.image for truth in truths)
    there = {path.name for path in folder.iterdir()}
    found = {}
    for place, truth in enumerate(truths):
        names = mask_file_names(truth, alone=targets[truth.image] == 1)
        name = next((name for name in names if name in there), None)
        if name is not None:
            mask = open_mask(folder / name)
            found[place] = Prediction(mask_to_rle(mask) if mask.any() else None)
    if not found:
        raise InputError(
            f"{folder} holds no picture of any question: {truths[0]} would be "
            f"{mask_file_names(truths[0])[0]}"
        )
    return found


def mask_file_names(truth: GroundTruth, *, alone: bool = False) -> list[str]:
    """The file names that a mask picture may have; `alone`: its image has no other target."""
    stem = mask_stem(truth.image, truth.expression)
    names = [mask_file(stem), f"{stem}.png"]
    return [*names, f"{Path(truth.image).stem}.png"] if alone else names


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: byte {error.start} is not UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _image_name(record: Mapping[str, Any]) -> str:
    value = record.get("image", record.get("image_id"))
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InputError('"image" must name an image of the truth')
    if not isinstance(record.get("expression", ""), str):
        raise InputError('"expression" must be a text')
    return str(value)


def _parse(record: Mapping[str, Any], truth: GroundTruth, text: TextReader | None) -> Prediction:
    costs = {key: record[key] for key in COSTS if record.get(key) is not None}
    for key, value in costs.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f'"{key}" must be a number, got {value!r}')
    if "mask" in record or "segmentation" in record:
        outline = record["mask"] if "mask" in record else record["segmentation"]
        found = Prediction(
            _mask(outline, truth), text=record.get("text"), validity=record.get("validity")
        )
    elif "text" in record:
        if not isinstance(record["text"], str):
            raise InputError('"text" must be a text')
        if text is None:
            raise InputError("to read masks written as text, the grid must be given (--grid)")
        found = text.read(record["text"], truth.expression, _size(truth, record))
    else:
        raise InputError('one of "mask", "segmentation" and "text" is needed')
    return replace(found, **costs)


def _mask(outline: object, truth: GroundTruth) -> Rle | None:
    if outline is None or outline == []:
        return None
    if isinstance(outline, dict):
        return outline  # checked when it is scored
    if isinstance(outline, list):
        lists = outline if isinstance(outline[0], list) else [outline]
        try:
            mask = polygons_to_mask(lists, _size(truth, {}))
        except TypeError as error:
            raise InputError(f"polygons are lists x, y, x, y, … of numbers: {error}") from error
        return mask_to_rle(mask) if mask.any() else None
    raise InputError(f"a mask is run lengths or polygons, got {type(outline).__name__}")


def _size(truth: GroundTruth, record: Mapping[str, Any]) -> Size:
    size = truth.mask["size"] if truth.mask is not None else record.get("size")
    if size is None and truth.size is not None:
        return truth.size
    try:
        height, width = size  # type: ignore[misc]
        return Size(int(height), int(width))
    except (TypeError, ValueError):
        raise InputError(
            'the size of the image is not known: write "size": [height, width], or a mask '
            "as run lengths"
        ) from None
