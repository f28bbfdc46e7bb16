"""YOLO segmentation: a text file for each image, with polygons in shares of its sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.types import Size
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import MaskSource, PolygonMask, join_masks
from text4seg.data.reports import ReadReport, RecordError
from text4seg.images import check_image, images_in

LAYOUT = """\
ROOT/data.yaml                   names: [cat, dog] or {0: cat, 1: dog}; or another *.yaml
ROOT/images/<split>/NAME.jpg     or ROOT/<split>/images/NAME.jpg
ROOT/labels/<split>/NAME.txt     or ROOT/<split>/labels/NAME.txt; "class x1 y1 x2 y2 …" a line
"""


@dataclass(frozen=True, slots=True)
class YoloDataset:
    """Images; each class with all its polygons is a target."""

    pairs: tuple[tuple[Path, Path], ...]
    names: tuple[tuple[int, str], ...]
    split: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes."""
        return tuple(plain_name(name) for _, name in self.names)

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its classes; an image without a text file shows none of them."""
        image, path = self.pairs[index]
        try:
            size = check_image(image)
        except InputError as error:
            raise RecordError("broken image", str(error)) from error
        names = dict(self.names)
        found: dict[str, list[MaskSource]] = {}
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            try:
                category, region = _polygon(line, size)
                if category not in names:
                    raise RecordError("unknown category id", f"no class has the number {category}")
                found.setdefault(names[category], []).append(region)
            except RecordError as error:
                report.skip(error.kind, f"{path}, line {number}: {error}")
        targets = tuple(
            ReferringTarget(
                plain_name(name), join_masks(regions), self.split or "yolo-seg", f"{path}, {name}",
                kind="class", category=name,
            )
            for name, regions in found.items()
        )  # fmt: skip
        absent = tuple(plain_name(name) for _, name in self.names if name not in found)
        return Sample(image, targets, size, image.stem, "yolo-seg", self.split, absent)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise RecordError("bad record", f"{path} is not text: {error.reason}") from error


def _polygon(line: str, size: Size) -> tuple[int, MaskSource]:
    try:
        category, *shares = (float(part) for part in line.split())
    except ValueError:
        raise RecordError("bad record", f"numbers are expected, got {line[:60]!r}") from None
    if len(shares) == 4:
        raise RecordError("no mask", "a box and no polygon: x, y, width, height")
    points = tuple(
        share * (size.height if at % 2 else size.width) for at, share in enumerate(shares)
    )
    return int(category), PolygonMask(size, (points,))


def _open(source: Source) -> YoloDataset:
    root = source.root if source.root.is_dir() else source.root.parent
    settings = source.root if source.root.is_file() else None
    settings = settings or next(
        iter(sorted(root.glob("data.y*ml")) + sorted(root.glob("*.y*ml"))), None
    )
    if settings is None:
        raise LayoutError(f"{root} has no *.yaml with names")
    names = _names(settings)
    split = source.split or "train"
    nested = root / split / "images"
    images = source.images or (nested if nested.is_dir() else root / "images" / split)
    labels = root / split / "labels" if nested.is_dir() else root / "labels" / split
    if not images.is_dir() or not labels.is_dir():
        raise LayoutError(f"there is no folder {images} or {labels}")
    pictures = images_in(images)
    pairs = tuple((one, labels / f"{one.stem}.txt") for one in pictures)
    return YoloDataset(pairs, names, split)


def _names(path: Path) -> tuple[tuple[int, str], ...]:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("pyyaml", "data") from None
    try:
        document: Any = yaml.safe_load(path.read_text("utf-8"))
        names = document["names"]
        entries = names.items() if isinstance(names, dict) else enumerate(names)
        return tuple((int(number), str(name)) for number, name in entries)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} has no list of names: {error}") from error


YOLO = Reader(
    name="yolo-seg",
    summary="YOLO segmentation folders (Ultralytics, Roboflow)",
    layout=LAYOUT,
    open=_open,
)
