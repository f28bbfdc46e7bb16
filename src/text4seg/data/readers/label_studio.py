"""Label Studio: the JSON export, with polygons and brush strokes.

Polygons are in percent of the image's sides. A brush is a run-length code of Label Studio: a bit
stream of the bytes of an RGBA picture, of which every fourth byte is the mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np
from jaxtyping import UInt8

from text4seg.core.errors import InputError
from text4seg.core.run_lengths import MAX_PIXELS
from text4seg.core.types import Size
from text4seg.data.checks import inside_folder
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.json_index import read_records, walk
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import MaskSource, PolygonMask, RunLengthMask, join_masks
from text4seg.data.reports import ReadReport, RecordError

LAYOUT = """\
FILE.json           the export "JSON": [{"id", "data": {"image"}, "annotations": [{"result"}]}]
IMAGES/NAME.jpg     --images; by default beside the file; the last part of the task's image, with
                    or without the mark that uploading puts before it (1a2b3c4d-NAME.jpg)
"""


@dataclass(frozen=True, slots=True)
class LabelStudioDataset:
    """Tasks; each label with all its regions is a target."""

    path: Path
    images: Path
    places: tuple[tuple[int, int], ...]
    key: str
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its labels, from the task's first annotation that was not cancelled."""
        task = read_records(self.path, [self.places[index]])[0]
        where = f"{self.path}, task {task.get('id', index) if isinstance(task, dict) else index}"
        try:
            image = _image(str(task["data"][self.key]), self.images)
            done = [one for one in task["annotations"] if not one.get("was_cancelled")]
            results = list(done[0]["result"]) if done else []
        except (KeyError, TypeError, AttributeError) as error:
            raise RecordError("bad record", f"{where}: no {error}") from error
        found: dict[str, list[tuple[MaskSource, str]]] = {}
        for result in results:
            number = result.get("id") if isinstance(result, dict) else None
            try:
                for label, region in _regions(result):
                    found.setdefault(plain_name(label), []).append((region, str(number)))
            except RecordError as error:
                report.skip(error.kind, f"{where}, result {number}: {error}")
        targets = tuple(
            ReferringTarget(
                label, join_masks([region for region, _ in parts]), "label-studio",
                f"{where}, {label}", kind="class", category=label,
                ids=tuple(number for _, number in parts),
            )
            for label, parts in found.items()
        )  # fmt: skip
        return Sample(image, targets, None, str(task.get("id", index)), "label-studio")


def _image(name: str, folder: Path) -> Path:
    """The image of a task: a path, or a URL of Label Studio, of which only the file name counts."""
    address = urlparse(name)
    local = parse_qs(address.query).get("d")
    path = unquote(local[0] if local else address.path)
    path = path if local else path.rsplit("/", 1)[-1]
    given = inside_folder(folder, path.lstrip("/"))
    bare = given.with_name(given.name.partition("-")[2] or given.name)
    flat = folder / given.name
    return next((one for one in (given, flat, bare, folder / bare.name) if one.is_file()), given)


def _regions(result: Any) -> Iterator[tuple[str, MaskSource]]:
    try:
        value, kind = result["value"], str(result["type"]).lower()
        if kind not in ("polygonlabels", "brushlabels", "polygon", "brush", "labels"):
            if kind in ("rectanglelabels", "ellipselabels", "keypointlabels"):
                raise RecordError("no mask", f"a {kind} has no outline")
            return
        labels = value.get("polygonlabels") or value.get("brushlabels") or value.get("labels")
        if not labels:
            raise RecordError("no label", "it has no label")
        size = Size(int(result["original_height"]), int(result["original_width"]))
        if result.get("image_rotation"):
            raise RecordError("bad record", "regions of turned images are not read")
        region = _region(value, size)
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError("bad record", f"no {error}") from error
    for label in labels:
        yield str(label), region


def _region(value: dict[str, Any], size: Size) -> MaskSource:
    if "points" in value:
        points = [
            (float(x) * size.width / 100, float(y) * size.height / 100) for x, y in value["points"]
        ]
        return PolygonMask(size, (tuple(part for point in points for part in point),))
    values = decode_brush(value["rle"], 4 * size.pixels)
    mask = values.reshape(size.height, size.width, 4)[..., 3] != 0
    return RunLengthMask.from_mask(mask)


def decode_brush(code: list[int], expected: int) -> UInt8[np.ndarray, " n"]:
    """Decode Label Studio's run-length code.

    32 bits hold the number of values, 5 bits the length of a value less 1, and four times 4 bits
    the lengths of counts less 1. Then come blocks: one bit (a run or single values), 2 bits that
    choose a length, a count less 1 of that length, and the value or the values.

    Args:
        code: The bytes of the code.
        expected: The number of values that the image needs.

    Returns:
        The values.

    Raises:
        RecordError: The code is damaged or has another number of values.
    """
    try:
        bits = "".join(map("{:08b}".format, bytes(code)))
    except (TypeError, ValueError):
        raise RecordError("bad run lengths", "a brush is a list of bytes") from None
    if len(bits) < 53:
        raise RecordError("bad run lengths", "the code of a brush is cut off")
    total, word = int(bits[:32], 2), int(bits[32:37], 2) + 1
    lengths = [int(bits[at : at + 4], 2) + 1 for at in range(37, 53, 4)]
    if total != expected or total > 4 * MAX_PIXELS:
        raise RecordError(
            "bad run lengths", f"the brush has {total} values and the image needs {expected}"
        )
    out = np.zeros(total, dtype=np.uint8)
    at, done = 53, 0
    try:
        while done < total:
            run, length = bits[at] == "1", lengths[int(bits[at + 1 : at + 3], 2)]
            count = int(bits[at + 3 : at + 3 + length], 2) + 1
            at += 3 + length
            if run:
                out[done : done + count] = int(bits[at : at + word], 2)
                at += word
            else:
                for step in range(min(count, total - done)):
                    out[done + step] = int(bits[at : at + word], 2)
                    at += word
            done += count
    except (ValueError, IndexError, OverflowError):
        raise RecordError("bad run lengths", "the code of a brush is cut off") from None
    if done != total:
        raise RecordError("bad run lengths", f"the brush has {done} values and not {total}")
    return out


def _open(source: Source) -> LabelStudioDataset:
    places, labels = [], {}
    try:
        for record in walk(source.root, ("",)):
            places.append((record.start, record.end))
            labels.update(dict.fromkeys(_labels(record.value)))
    except RecordError as error:
        source.report.skip(error.kind, str(error))
    if not places:
        raise LayoutError(f"{source.root} lists no task")
    images = source.images or source.root.parent
    key = source.options.get("image", "image")
    return LabelStudioDataset(source.root, images, tuple(places), key, tuple(labels))


def _labels(task: Any) -> Iterator[str]:
    try:
        for annotation in task["annotations"]:
            for result in annotation["result"]:
                value = result.get("value", {})
                yield from map(
                    plain_name, value.get("polygonlabels") or value.get("brushlabels") or ()
                )
    except (KeyError, TypeError, AttributeError):
        return  # load() tells what is wrong with it


LABEL_STUDIO = Reader(
    name="label-studio",
    summary="Label Studio's JSON export: polygons and brushes",
    layout=LAYOUT,
    open=_open,
    options={"image": "The key of the image in a task's data; image by default."},
)
