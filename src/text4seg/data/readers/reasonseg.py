"""ReasonSeg: a JSON of polygons beside each image, and sentences that need reasoning."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.mask_sources import RunLengthMask
from text4seg.data.reports import ReadReport, RecordError
from text4seg.images import check_image

LAYOUT = """\
ROOT/<split>/NAME.jpg
ROOT/<split>/NAME.json    {"text": [sentences], "is_sentence", "shapes": [{"label", "points"}]}
                          label: "target", "ignore" (not scored) or "flag" (no meaning)
"""
_TARGET, _IGNORED = 1, 2


@dataclass(frozen=True, slots=True)
class ReasonSegDataset:
    """Images with their sentences, which all mean the same thing."""

    files: tuple[Path, ...]
    images: Path | None
    split: str
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int, report: ReadReport) -> Sample:  # noqa: ARG002 - the protocol's
        """One image with its sentences; the larger polygons are drawn first, as published."""
        path = self.files[index]
        image = (self.images or path.parent) / f"{path.stem}.jpg"
        if not image.is_file():
            raise RecordError("missing image", f"there is no image {image} of {path}")
        try:
            size = check_image(image)
        except InputError as error:
            raise RecordError("broken image", str(error)) from error
        document = _document(path)
        drawn = _draw(document.get("shapes"), size, path)
        target = drawn == _TARGET
        mask = RunLengthMask.from_mask(target) if target.any() else None
        void = RunLengthMask.from_mask(drawn == _IGNORED)
        texts = document.get("text")
        if not isinstance(texts, list) or not texts:
            raise RecordError("bad record", f"{path}: 'text' is a list of sentences")
        targets = tuple(
            ReferringTarget(
                str(text), mask, f"reasonseg {self.split}".strip(), f"{path}, text {at}"
            )
            for at, text in enumerate(texts)
        )
        return Sample(
            image, targets, size, path.stem, "reasonseg", self.split,
            void=void if (drawn == _IGNORED).any() else None,
        )  # fmt: skip


def _document(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    for encoding in ("utf-8", "cp1252"):  # some of the published files are in the latter
        try:
            document = json.loads(data.decode(encoding))
        except UnicodeDecodeError:
            continue
        except (ValueError, RecursionError) as error:
            raise RecordError("truncated JSON", f"{path} is cut off or no JSON: {error}") from error
        if isinstance(document, dict):
            return document
        break
    raise RecordError("bad record", f"{path} holds no JSON object")


def _draw(shapes: object, size: Size, path: Path) -> np.ndarray:
    polygons: list[tuple[int, int, list[tuple[int, int]]]] = []
    if not isinstance(shapes, list):
        raise RecordError("bad record", f"{path}: 'shapes' is a list of polygons")
    for at, shape in enumerate(shapes):
        try:
            label = str(shape["label"]).lower()
            points = [(int(x), int(y)) for x, y in shape["points"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError("bad polygon", f"{path}, shape {at}: {error}") from error
        if label == "flag":
            continue
        if len(points) < 3:
            raise RecordError("bad polygon", f"{path}, shape {at}: {len(points)} points")
        value = _IGNORED if "ignore" in label else _TARGET
        polygons.append((int(_fill([points], [1], size).sum()), value, points))
    polygons.sort(key=lambda one: -one[0])
    return _fill([one[2] for one in polygons], [one[1] for one in polygons], size)


def _fill(polygons: list[list[tuple[int, int]]], values: list[int], size: Size) -> np.ndarray:
    picture = Image.new("L", (size.width, size.height))
    draw = ImageDraw.Draw(picture)
    for points, value in zip(polygons, values, strict=True):
        draw.polygon(points, fill=value, outline=value)
    return np.asarray(picture)


def _open(source: Source) -> ReasonSegDataset:
    split = source.split or ""
    nested = source.root / split
    folder = nested if split and nested.is_dir() else source.root
    files = tuple(sorted(folder.glob("*.json")))
    if not files:
        raise LayoutError(f"{folder} has no *.json")
    return ReasonSegDataset(files, source.images, split)


REASONSEG = Reader(
    name="reasonseg",
    summary="ReasonSeg: sentences that have to be thought about",
    layout=LAYOUT,
    open=_open,
    splits=("train", "val", "test"),
)
