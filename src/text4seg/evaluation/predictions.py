"""Predictions from anywhere: run lengths, polygons or raw text in JSONL, or a folder of pictures.

A line is an object. `image` (or `image_id`) names the image as the truth does: by its path, its
file name, its stem or its id. `expression` may be left out where the image has one question. What
was answered stands under one of

- `mask`: COCO run lengths, or null for an empty answer;
- `segmentation`: run lengths, or polygons as COCO writes them;
- `text`: what the model wrote, read on the given grid in the given format: strictly, or else
  salvaged, and the line's validity says which.

`box`, `score`, `tokens`, `passes` and `seconds` are kept where they are given.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.codec import Format
from text4seg.codec.answer import find_body
from text4seg.core.errors import InputError, MaskSyntaxError
from text4seg.core.geometry import cells_to_mask, polygons_to_mask
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import GridShape, Size
from text4seg.evaluation.judge import Answer, Truth

if TYPE_CHECKING:
    from text4seg.segmenter import Validity

COSTS = ("tokens", "passes", "seconds", "score")


@dataclass(frozen=True, slots=True)
class TextReader:
    """How raw text is read: on which grid, in which format."""

    shape: GridShape
    format: Format

    def read(self, text: str, expression: str, size: Size) -> Answer:
        """The mask that a text describes, whatever the text."""
        body = find_body(text)
        validity: Validity = "strict"
        try:
            grid = self.format.decode(body, self.shape, (expression,))
        except MaskSyntaxError:
            saved = self.format.salvage(body, self.shape, (expression,))
            nothing = self.format.salvage("", self.shape, (expression,))
            rows = [[one for one in r.repairs if one.row is not None] for r in (saved, nothing)]
            grid, validity = saved.grid, "unparsable" if rows[0] == rows[1] else "salvaged"
        cells = grid.select(expression)
        mask = mask_to_rle(cells_to_mask(cells, size)) if cells.any() else None
        name = self.format.name
        return Answer(mask, cells=cells, validity=validity, format=name, text=text)


@dataclass(slots=True)
class Matcher:
    """Finds the question that a prediction answers."""

    truths: Sequence[Truth]
    ids: Mapping[str, str] = field(default_factory=dict)
    """The image of a truth by another name, such as an id."""

    _images: dict[str, set[str]] = field(default_factory=dict)
    _questions: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, truth in enumerate(self.truths):
            asked = self._questions.setdefault(truth.image, {})
            if not asked:
                path = Path(truth.image)
                for name in {truth.image, path.name, path.stem}:
                    self._images.setdefault(name, set()).add(truth.image)
            asked.setdefault(truth.expression, []).append(place)
        for name, image in self.ids.items():
            self._images.setdefault(name, set()).add(image)

    def find(self, name: str, expression: str | None) -> list[int]:
        """The places of the questions with this image and these words; raises `InputError`."""
        found = self._images.get(name, set())
        images = {name} if name in self._questions else found
        if not images:
            raise InputError(f"the truth has no image {name!r}")
        if len(images) > 1:
            some = ", ".join(sorted(images)[:3])
            raise InputError(f"{name!r} may be any of {some}: write the path as the truth does")
        asked = self._questions[next(iter(images))]
        if expression is None:
            places = [place for some in asked.values() for place in some]
            if len(places) > 1:
                raise InputError(f'{name!r} has {len(places)} questions: "expression" is missing')
            return places
        if expression not in asked:
            raise InputError(f"the truth does not ask for {expression!r} of {name!r}")
        return asked[expression]


def read_predictions(
    path: Path, matcher: Matcher, *, text: TextReader | None = None
) -> dict[int, Answer]:
    """The answers of a JSONL file by the place of their question.

    Where a question is asked several times of an image, answers are taken in order.

    Raises:
        InputError: The file cannot be read, or a line is wrong; file and line are named.
    """
    answers: dict[int, Answer] = {}
    for number, line in _lines(path):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise InputError(f"an object is expected, not {type(record).__name__}")
            places = matcher.find(_name(record), record.get("expression"))
            free = [place for place in places if place not in answers]
            if not free:
                raise InputError("this question has its answer already")
            answers[free[0]] = _answer(record, matcher.truths[free[0]], text)
        except (ValueError, RecursionError, InputError) as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    return answers


def read_pictures(folder: Path, truths: Sequence[Truth]) -> dict[int, Answer]:
    """The answers of a folder of mask pictures by the place of their question.

    Of an image `cat.jpg` asked for "the cat", the picture is `cat.the-cat.mask.png` (as `text4seg
    segment` writes it), `cat.the-cat.png`, or, where the image has one question, `cat.png`.

    Raises:
        InputError: No picture has a name that fits, or one is broken.
    """
    from text4seg.images import open_mask

    questions = Counter(truth.image for truth in truths)
    there = {path.name for path in folder.iterdir()}
    answers = {}
    for place, truth in enumerate(truths):
        names = picture_names(truth, alone=questions[truth.image] == 1)
        name = next((name for name in names if name in there), None)
        if name is not None:
            mask = open_mask(folder / name)
            answers[place] = Answer(mask_to_rle(mask) if mask.any() else None)
    if not answers:
        first = truths[0]
        raise InputError(
            f"{folder} holds no picture of any question: {first.expression!r} of {first.image} "
            f"would be {picture_names(first)[0]}"
        )
    return answers


def picture_names(truth: Truth, *, alone: bool = False) -> list[str]:
    """The file names that a picture of this question may have; `alone`: its image has no other."""
    stem = Path(truth.image).stem
    words = re.sub(r"[^\w]+", "-", truth.expression).strip("-")[:60] or "expression"
    names = [f"{stem}.{words}.mask.png", f"{stem}.{words}.png"]
    return [*names, f"{stem}.png"] if alone else names


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


def _name(record: Mapping[str, Any]) -> str:
    value = record.get("image", record.get("image_id"))
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InputError('"image" must name an image of the truth')
    if not isinstance(record.get("expression", ""), str):
        raise InputError('"expression" must be a text')
    return str(value)


def _answer(record: Mapping[str, Any], truth: Truth, text: TextReader | None) -> Answer:
    costs = {key: record[key] for key in COSTS if record.get(key) is not None}
    for key, value in costs.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f'"{key}" must be a number, got {value!r}')
    if "mask" in record or "segmentation" in record:
        outline = record["mask"] if "mask" in record else record["segmentation"]
        answer = Answer(_mask(outline, truth), text=record.get("text"))
        if record.get("validity") in ("strict", "salvaged", "unparsable"):
            answer = replace(answer, validity=record["validity"])
    elif "text" in record:
        if not isinstance(record["text"], str):
            raise InputError('"text" must be a text')
        if text is None:
            raise InputError("to read masks written as text, the grid must be told (--grid)")
        answer = text.read(record["text"], truth.expression, _size(truth, record))
    else:
        raise InputError('one of "mask", "segmentation" and "text" is needed')
    return replace(answer, **costs)


def _mask(outline: object, truth: Truth) -> Mapping[str, Any] | None:
    if outline is None or outline == []:
        return None
    if isinstance(outline, dict):
        return outline  # read, and refused if it is none, when it is judged
    if isinstance(outline, list):
        lists = outline if isinstance(outline[0], list) else [outline]
        try:
            mask = polygons_to_mask(lists, _size(truth, {}))
        except TypeError as error:
            raise InputError(f"polygons are lists x, y, x, y, … of numbers: {error}") from error
        return mask_to_rle(mask) if mask.any() else None
    raise InputError(f"a mask is run lengths or polygons, got {type(outline).__name__}")


def _size(truth: Truth, record: Mapping[str, Any]) -> Size:
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
