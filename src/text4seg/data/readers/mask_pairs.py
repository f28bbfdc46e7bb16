"""Your own masks: images, and black-and-white mask pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from text4seg.core.errors import InputError
from text4seg.data.interface import LayoutError, Reader, ReferringTarget, Sample, Source
from text4seg.data.label_names import plain_name
from text4seg.data.mask_sources import LabelMapMask
from text4seg.data.reports import ReadReport, RecordError
from text4seg.images import check_image, images_in

LAYOUT = """\
ROOT/
  images/NAME.jpg              --images for another folder
  masks/NAME.png               what is not black is meant; its words come from labels.json
                               {"NAME.png": "the dog"}, or from --option label=WORDS
  or masks/LABEL/NAME.png      a folder a label
  or masks/NAME__LABEL.png     a label after two underscores; several masks an image
"""


@dataclass(frozen=True, slots=True)
class MaskPairsDataset:
    """Images with the masks of the same names."""

    images: tuple[tuple[Path, tuple[tuple[str, Path], ...]], ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int, report: ReadReport) -> Sample:
        """One image with its masks; only the headers of pictures are read."""
        image, masks = self.images[index]
        if not masks:
            raise RecordError("missing mask", f"no mask bears the name of {image}")
        targets = []
        for label, path in masks:
            try:
                size = check_image(path)
            except InputError as error:
                report.skip("broken mask", str(error))
                continue
            targets.append(
                ReferringTarget(
                    label,
                    LabelMapMask(size, path),
                    "mask-pairs",
                    str(path),
                    category=label,
                )
            )
        return Sample(image, tuple(targets), None, image.stem, "mask-pairs")


def _open(source: Source) -> MaskPairsDataset:
    root = source.root
    images, masks = source.images or root / "images", root / "masks"
    for folder in (images, masks):
        if not folder.is_dir():
            raise LayoutError(f"there is no folder {folder}")
    found: dict[str, list[tuple[str, Path]]] = {}
    name_of = _labels(root / "labels.json", source.options.get("label"))
    for path in sorted(masks.rglob("*.png")):
        stem, _, label = path.stem.partition("__")
        if not label and path.parent != masks:
            label = path.parent.name
        label = plain_name(label) if label else name_of(path.name)
        if label:
            found.setdefault(stem, []).append((label, path))
        else:
            source.report.skip(
                "no label", f"{path}: neither its name nor labels.json says what it is"
            )
    pictures = images_in(images)
    known = {one.stem for one in pictures}
    for stem in sorted(set(found) - known):
        source.report.skip("missing image", f"{images} has no image {stem} of {found[stem][0][1]}")
    pairs = tuple((one, tuple(found.get(one.stem, ()))) for one in pictures)
    labels = dict.fromkeys(label for _, masks_of in pairs for label, _ in masks_of)
    return MaskPairsDataset(pairs, tuple(labels))


def _labels(path: Path, constant: str | None) -> Callable[[str], str]:
    if constant or not path.is_file():
        return lambda _: constant or ""
    try:
        names = json.loads(path.read_bytes())
        words = {str(key): str(value) for key, value in names.items()}
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} holds no names of masks: {error}") from error
    return lambda name: words.get(name, "")


MASK_PAIRS = Reader(
    name="mask-pairs",
    summary="your own: a folder of images and a folder of mask pictures",
    layout=LAYOUT,
    open=_open,
    options={"label": "What every mask shows, where names do not tell."},
)
