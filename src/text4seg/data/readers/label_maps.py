"""Folders of label maps: for each image a picture whose pixels are numbers of classes.

Cityscapes, Mapillary and most exports of segmentation tools have this layout. The image and its map
have the same path below the two folders, except for the ending.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import synonyms_of
from text4seg.data.mask_sources import LabelMapMask, open_labels
from text4seg.data.reports import ReadReport, RecordError
from text4seg.images import IMAGE_ENDINGS

LAYOUT = """\
ROOT/
  images/[<split>/]….jpg     --images for another folder; or leftImg8bit/
  masks/[<split>/]….png      or labels/, annotations/; 8- or 16-bit numbers of classes
  names.txt                  or labels.txt, classes.txt: a name a line, from 0, or "7: road";
                             or index.json {"labels": [names], "<split>": [names of files]}
"""
_OPTIONS = {
    "maps": "The folder of label maps below ROOT.",
    "names": "The file of names.",
    "void": "Numbers that nobody annotated, with commas; 255 by default.",
    "background": "Numbers that are no class, with commas; 0 by default.",
    "image_suffix": "What an image's name has before its ending, as in _leftImg8bit.",
    "map_suffix": "What a map's name has before its ending, as in _gtFine_labelIds.",
}
_NUMBERED = re.compile(r"\s*(\d+)\s*[:\t,;]\s*(.+?)\s*")


@dataclass(frozen=True, slots=True)
class LabelMapDataset:
    """Images with their label maps; each class is a target.

    Attributes:
        name: The data set's name.
        split: Its part.
        pairs: Image and map of each.
        names: The raw name of each number; commas part synonyms.
        void: Numbers of pixels that nobody annotated.
        background: Numbers that are no class and yet annotated.
    """

    name: str
    split: str
    pairs: tuple[tuple[Path, Path], ...]
    names: Mapping[int, str]
    void: tuple[int, ...] = (255,)
    background: tuple[int, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes."""
        return tuple(dict.fromkeys(synonyms_of(name)[0] for name in self.names.values()))

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its classes; the label map is opened."""
        image, path = self.pairs[index]
        if not path.is_file():
            raise RecordError("missing mask", f"there is no label map {path} of {image}")
        try:
            labels = open_labels(path)
        except InputError as error:
            raise RecordError("broken mask", str(error)) from error
        size = Size(*labels.shape)
        found: dict[str, list[int]] = {}
        present = np.unique(labels).tolist()
        for value in present:
            if value in self.names:
                found.setdefault(synonyms_of(self.names[value])[0], []).append(value)
            elif value not in self.void and value not in self.background:
                report.skip("unknown label", f"{path}: no name is given for the number {value}")
        targets = tuple(self._target(name, values, path, size) for name, values in found.items())
        absent = tuple(name for name in self.classes if name not in found)
        hidden = tuple(value for value in self.void if value in present)
        void = LabelMapMask(size, path, hidden) if hidden else None
        return Sample(image, targets, size, image.stem, self.name, self.split, absent, void)

    def _target(self, name: str, values: list[int], path: Path, size: Size) -> ReferringTarget:
        raw = self.names[values[0]]
        return ReferringTarget(
            name,
            LabelMapMask(size, path, tuple(values)),
            f"{self.name} {self.split}".strip(),
            f"{path}, {name}",
            kind="class",
            category=raw,
            ids=tuple(map(str, values)),
            synonyms=synonyms_of(raw)[1],
        )


def pair_by_name(
    images: Path, maps: Path, *, suffixes: tuple[str, str] = ("", ""), ending: str = ".png"
) -> tuple[tuple[Path, Path], ...]:
    """Pair every image below a folder with the map of the same relative name, sorted."""
    pairs = []
    for image in sorted(images.rglob(f"*{suffixes[0]}.*")):
        if image.suffix.lower() in IMAGE_ENDINGS and image.is_file():
            place = image.relative_to(images)
            stem = place.stem.removesuffix(suffixes[0])
            pairs.append((image, maps / place.with_name(f"{stem}{suffixes[1]}{ending}")))
    return tuple(pairs)


def read_names(path: Path) -> dict[int, str]:
    """Read names by number from lines (in order, or numbered) or JSON (a list, or by number)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the names in {path} cannot be read: {error}") from error
    if path.suffix == ".json":
        return _json_names(path, text)
    lines = [line.strip() for line in text.splitlines()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines if line]
    if numbered and all(numbered):
        return {int(match[1]): match[2] for match in numbered if match}
    return {number: line for number, line in enumerate(lines) if line}


def _json_names(path: Path, text: str) -> dict[int, str]:
    try:
        document = json.loads(text)
        names = document.get("labels", document) if isinstance(document, dict) else document
        entries: Iterable[tuple[int | str, object]] = (
            names.items() if isinstance(names, dict) else enumerate(names)
        )
        return {int(number): str(name) for number, name in entries}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no list of names, nor names by number: {error}") from error


def _open(source: Source) -> LabelMapDataset:
    root, options = source.root, source.options
    names_file = _first(
        root, "names", options, ("names.txt", "labels.txt", "classes.txt", "index.json")
    )
    maps = _first(root, "maps", options, ("masks", "labels", "annotations", "gtFine"))
    images = source.images or _first(root, "", {}, ("images", "leftImg8bit", "JPEGImages"))
    suffixes = (options.get("image_suffix", ""), options.get("map_suffix", ""))
    split = source.split or ""
    listed = _listed(names_file, split)
    if listed is not None:
        pairs = tuple((_image(images, stem), maps / f"{stem}.png") for stem in listed)
    elif split and (images / split).is_dir():
        pairs = pair_by_name(images / split, maps / split, suffixes=suffixes)
    elif split:
        raise InputError(
            f"there is no folder {images / split}, nor a list of {split!r} in {names_file}"
        )
    else:
        pairs = pair_by_name(images, maps, suffixes=suffixes)
    if not pairs:
        raise InputError(f"{images} holds no image with the suffix {suffixes[0]!r}")
    background = _numbers(options.get("background", "0"))
    names = {at: name for at, name in read_names(names_file).items() if at not in background}
    void = _numbers(options.get("void", "255"))
    return LabelMapDataset("label-maps", split, pairs, names, void, background)


def _first(root: Path, key: str, options: Mapping[str, str], usual: tuple[str, ...]) -> Path:
    if key in options:
        path = root / options[key]
        if not path.exists():
            raise InputError(f"there is no {path}, that the option {key!r} names")
        return path
    for name in usual:
        if (root / name).exists():
            return root / name
    raise LayoutError(f"{root} has none of {', '.join(usual)}")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"numbers with commas are expected, got {text!r}") from None


def _listed(names_file: Path, split: str) -> list[str] | None:
    """The names of a split's files, where the file of names lists them."""
    if not split or names_file.suffix != ".json":
        return None
    document = json.loads(names_file.read_text(encoding="utf-8"))
    listed = document.get(split) if isinstance(document, dict) else None
    return [str(one) for one in listed] if isinstance(listed, list) else None


def _image(folder: Path, stem: str) -> Path:
    return next(
        (path for ending in IMAGE_ENDINGS if (path := folder / f"{stem}{ending}").is_file()),
        folder / f"{stem}.jpg",
    )


LABEL_MAPS = Reader(
    name="label-maps",
    summary="folders of images and label maps with a list of names (Cityscapes, your own)",
    layout=LAYOUT,
    open=_open,
    options=_OPTIONS,
)
