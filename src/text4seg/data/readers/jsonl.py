"""Questions about images, one JSON object per line: `{"image", "expression", "mask", "set"}`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.run_lengths import rle_area
from text4seg.core.types import Size, check_label
from text4seg.data.interface import Reader, ReferringTarget, Sample, Source
from text4seg.data.mask_sources import RunLengthMask
from text4seg.data.reports import ReadReport, RecordError
from text4seg.images import check_image

LAYOUT = """\
FILE.jsonl        {"image", "expression", "mask", "set"} a line
IMAGES/<image>    --images; by default beside the file
"""


def read_jsonl(
    path: str | PathLike[str], images: str | PathLike[str], *, limit: int | None = None
) -> list[Sample]:
    """Read and check a file of questions, strictly.

    A line is `{"image": path below the folder of images, "expression": text, "mask": COCO run
    lengths of the image's size or null where nothing is meant, "set": name}`; without a set it is
    `all`. Blank lines are skipped, other keys are ignored.

    Args:
        path: The file.
        images: The folder that image paths start from.
        limit: The most questions to read.

    Returns:
        A sample for each image, with all questions about it.

    Raises:
        InputError: The file or an image cannot be read, or a line is wrong; both are named.
    """
    name = Path(path)
    targets: dict[Path, list[ReferringTarget]] = {}
    sizes: dict[Path, Size] = {}
    count = 0
    for number, line in enumerate(_lines(name), start=1):
        if not line.strip():
            continue
        if limit is not None and count >= limit:
            break
        source = f"{name}, line {number}"
        try:
            image, question = _parse(line, Path(images), source)
            if image not in sizes:
                sizes[image] = check_image(image)
            _check_size(question, sizes[image])
        except Text4SegError as error:
            raise InputError(f"{source}: {error}") from error
        targets.setdefault(image, []).append(question)
        count += 1
    if not count:
        raise InputError(f"{name} holds no question")
    return [Sample(image, tuple(questions)) for image, questions in targets.items()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: byte {error.start} is not UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _parse(line: str, images: Path, source: str) -> tuple[Path, ReferringTarget]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise InputError(f"an object is expected, not {type(record).__name__}")
    image, expression = _text(record, "image"), _text(record, "expression")
    check_label(expression)
    if "mask" not in record:
        raise InputError('"mask" is missing; it is null where nothing in the image is meant')
    mask = record["mask"]
    if mask is not None:
        if not isinstance(mask, dict):
            raise InputError('"mask" must be COCO run lengths or null')
        if not rle_area(mask):
            raise InputError(
                "the mask has no pixel; write null where nothing in the image is meant"
            )
    group = _text(record, "set") if "set" in record else "all"
    if Path(image).is_absolute():
        raise InputError(f'"image" must be a path below the folder of images, got {image!r}')
    region = None if mask is None else RunLengthMask.from_coco(mask)
    return images / image, ReferringTarget(expression, region, group, source)


def _text(record: dict[str, Any], key: str) -> str:
    if key not in record:
        raise InputError(f'"{key}" is missing')
    value = record[key]
    if not isinstance(value, str) or not value:
        raise InputError(f'"{key}" must be a text that is not empty')
    return value


def _check_size(question: ReferringTarget, size: Size) -> None:
    if question.mask is not None and question.mask.size != size:
        raise InputError(f"the mask is {question.mask.size} and the image is {size}")


@dataclass(frozen=True, slots=True)
class JsonlDataset:
    """Images of a file of questions, by number; `groups` are the lines that ask of each."""

    path: Path
    images: Path
    groups: tuple[tuple[tuple[int, int, int], ...], ...]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.groups)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with all lines about it."""
        targets = []
        image = Path()
        with self.path.open("rb") as file:
            for number, start, end in self.groups[index]:
                source = f"{self.path}, line {number}"
                file.seek(start)
                try:
                    line = file.read(end - start).decode("utf-8-sig")
                    image, question = _parse(line, self.images, source)
                    targets.append(question)
                except (Text4SegError, UnicodeDecodeError) as error:
                    report.skip("bad record", f"{source}: {error}")
        if not targets:
            raise RecordError("bad record", f"{self.path}: no line about image {index} can be used")
        return Sample(image, tuple(targets), id=targets[0].source, dataset="jsonl")


def _open(source: Source) -> JsonlDataset:
    groups: dict[object, list[tuple[int, int, int]]] = {}
    offset = 0
    try:
        with source.root.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    place = (number, offset, offset + len(line))
                    groups.setdefault(_image_of(line, number), []).append(place)
                offset += len(line)
    except OSError as error:
        raise InputError(f"{source.root} cannot be read: {error.strerror}") from error
    if not groups:
        raise InputError(f"{source.root} holds no question")
    images = source.images or source.root.parent
    return JsonlDataset(source.root, images, tuple(map(tuple, groups.values())))


def _image_of(line: bytes, number: int) -> object:
    """The image that a line names; a line that cannot be read stands alone."""
    try:
        image = json.loads(line)["image"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return number
    return image if isinstance(image, str) else number


JSONL = Reader(
    name="jsonl",
    summary="questions, one JSON object a line: image, expression, mask (run lengths or null), set",
    layout=LAYOUT,
    open=_open,
)
