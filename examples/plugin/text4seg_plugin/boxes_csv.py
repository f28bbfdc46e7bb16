"""The reader `boxes-csv`: rectangles in a CSV file with the columns image,label,x0,y0,x1,y1."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data import Reader, RecordError, ReferringTarget, Sample
from text4seg.data.interface import LayoutError, Source
from text4seg.data.mask_sources import PolygonMask
from text4seg.data.reports import ReadReport
from text4seg.images import open_image

LAYOUT = """\
ROOT/
  boxes.csv     image,label,x0,y0,x1,y1 in pixels, one rectangle a line, with that header
  images/NAME   --images for another folder
"""


@dataclass(frozen=True, slots=True)
class BoxesCsvDataset:
    """Images with their rectangles, in the order of the file."""

    path: Path
    images: tuple[tuple[Path, tuple[tuple[str, tuple[float, ...]], ...]], ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with a mask for each rectangle."""
        image, boxes = self.images[index]
        try:
            opened = open_image(image)
        except InputError as error:
            raise RecordError("broken image", str(error)) from error
        size = Size(opened.height, opened.width)
        targets = []
        for label, (x0, y0, x1, y1) in boxes:
            where = f"{self.path}, {image.name}, {label}"
            if not (0 <= x0 < x1 <= size.width and 0 <= y0 < y1 <= size.height):
                report.skip("box outside the image", f"{where}: {x0},{y0},{x1},{y1}")
                continue
            corners = ((x0, y0, x1, y0, x1, y1, x0, y1),)
            mask = PolygonMask(size, corners)
            targets.append(ReferringTarget(label, mask, "boxes-csv", where, category=label))
        return Sample(image, tuple(targets), size, image.stem, "boxes-csv")


def _open(source: Source) -> BoxesCsvDataset:
    path = source.find_file(("boxes.csv",))
    folder = source.find_images(path.parent / "images", (path.parent / "images",))
    found: dict[Path, list[tuple[str, tuple[float, ...]]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"image", "label", "x0", "y0", "x1", "y1"} <= set(rows.fieldnames or ()):
            raise LayoutError(f"{path} has no header image,label,x0,y0,x1,y1")
        for row in rows:
            try:
                box = tuple(float(row[side]) for side in ("x0", "y0", "x1", "y1"))
            except (TypeError, ValueError):
                source.report.skip("bad record", f"{path}, line {rows.line_num}: no four numbers")
                continue
            found.setdefault(folder / row["image"], []).append((row["label"], box))
    labels = dict.fromkeys(label for boxes in found.values() for label, _ in boxes)
    images = tuple((image, tuple(boxes)) for image, boxes in found.items())
    return BoxesCsvDataset(path, images, tuple(labels))


BOXES_CSV = Reader(
    name="boxes-csv",
    summary="rectangles in a CSV file",
    layout=LAYOUT,
    open=_open,
)
