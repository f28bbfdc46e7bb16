"""Composed images: cut-outs of named things pasted on real backgrounds.

Real images rarely have two of a rare thing, or a teapot left of a drum. Cut-outs are COCO's
instances by their outlines and ImageNet's images by their saliency; some are shifted in hue, so
that a color is needed to single one out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from projects.nano.class_images import SALIENT, trusted_coverage
from projects.nano.scenes import SHAPE, Scene, Thing, annotation_to_mask, shades_of_masks
from text4seg.core.errors import InputError
from text4seg.core.files import write_atomically
from text4seg.core.geometry import mask_to_coverage
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.core.types import Size
from text4seg.models.nano.text.lexicon import imagenet_classes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Bool, UInt8
    from PIL.Image import Image as PILImage

SOURCE = "composed"
_SIDE = 512
# Cut-outs: smallest share of their image, most of one name; sizes in shares of the new side.
_LEAST_SHARE, _MOST_OF_A_NAME = 0.03, 12
_SIZES = (0.18, 0.45)
# Share of a pasted thing that a later one may cover.
_MOST_COVERED = 0.15
# Shares of things that have the name of the one before, and of those with another hue.
_AGAIN, _TINTED = 0.45, 0.3
# Names of an image that may be asked for as absent.
_ABSENT = 12


@dataclass(frozen=True, slots=True)
class CutOut:
    """The pixels and the alpha of a thing, cropped to it."""

    name: str
    pixels: UInt8[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"]


def cut_coco(annotations: Path, images: Path) -> list[CutOut]:
    """Cut out large instances that do not touch the border, which would look cut off."""
    from PIL import Image

    document = json.loads(annotations.read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    entries = {image["id"]: image for image in document["images"]}
    counts: dict[str, int] = {}
    found = []
    for record in document["annotations"]:
        entry, name = entries[record["image_id"]], names[record["category_id"]]
        whole = entry["width"] * entry["height"]
        if record.get("iscrowd") or record.get("area", whole) < _LEAST_SHARE * whole:
            continue
        if counts.get(name, 0) == _MOST_OF_A_NAME:
            continue
        mask = annotation_to_mask(record["segmentation"], Size(entry["height"], entry["width"]))
        inside = not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
        if not inside or mask.sum() < _LEAST_SHARE * whole:
            continue
        counts[name] = counts.get(name, 0) + 1
        with Image.open(images / entry["file_name"]) as image:
            pixels = np.asarray(image.convert("RGB"))
        found.append(_crop(name, pixels, mask.astype(np.uint8) * 255))
    return found


def cut_classes(images: Path, outlines: Path) -> list[CutOut]:
    """Cut out what is clearly salient in images of ImageNet classes that are not held out."""
    from PIL import Image

    by_wnid = {one.wnid: one for one in imagenet_classes() if not one.held_out}
    found = []
    for file in sorted(outlines.glob("n*.png")):
        one = by_wnid.get(file.stem.partition("_")[0])
        saliency = Image.open(file).convert("L")
        if one is None or trusted_coverage(np.asarray(saliency)) is None:
            continue
        with Image.open(images / f"{file.stem}.jpg") as image:
            pixels = np.asarray(image.convert("RGB"))
        found.append(_crop(one.name, pixels, np.asarray(saliency.resize(pixels.shape[1::-1]))))
    return found


def _crop(name: str, pixels: UInt8[np.ndarray, "h w 3"], alpha: np.ndarray) -> CutOut:
    rows, columns = (np.flatnonzero((alpha >= SALIENT).any(1 - axis)) for axis in (0, 1))
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CutOut(name, pixels[inside], alpha[inside])


def compose(
    cut_outs: Sequence[CutOut],
    background: PILImage,
    taken: frozenset[str],
    random: np.random.Generator,
) -> tuple[PILImage, list[tuple[str, Bool[np.ndarray, "512 512"]]]]:
    """Paste two to five cut-outs on an image.

    Args:
        cut_outs: Things to choose from.
        background: The image.
        taken: Names that are not pasted, since the background may show them.
        random: Source of randomness.

    Returns:
        The image, 512x512, and the visible mask of each pasted thing.
    """
    from PIL import Image

    image = background.convert("RGB").resize((_SIDE, _SIDE))
    pool = [one for one in cut_outs if one.name not in taken]
    chosen: list[CutOut] = []
    for _ in range(int(random.integers(2, 6))):
        alike = [one for one in pool if chosen and one.name == chosen[-1].name]
        source = alike if alike and random.random() < _AGAIN else pool
        chosen.append(source[random.integers(len(source))])
    placed: list[tuple[str, Bool[np.ndarray, "512 512"]]] = []
    for one in chosen:
        pixels, alpha = _prepare(one, random)
        for _ in range(12):
            left, top = (int(random.integers(0, _SIDE - side + 1)) for side in alpha.size)
            mask = np.zeros((_SIDE, _SIDE), dtype=bool)
            mask[top : top + alpha.height, left : left + alpha.width] = np.asarray(alpha) >= SALIENT
            if all((mask & other).sum() <= _MOST_COVERED * other.sum() for _, other in placed):
                image.paste(Image.fromarray(pixels), (left, top), alpha)
                placed = [(name, other & ~mask) for name, other in placed] + [(one.name, mask)]
                break
    return image, placed


def _prepare(one: CutOut, random: np.random.Generator) -> tuple[np.ndarray, PILImage]:
    """Resize a cut-out, mirror half of them, shift the hue of some, and soften the edges."""
    from PIL import Image, ImageFilter

    image, alpha = Image.fromarray(one.pixels), Image.fromarray(one.alpha)
    side = random.uniform(*_SIZES) * _SIDE
    scale = side / max(image.size)
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    image = image.resize(size)
    alpha = alpha.resize(size).filter(ImageFilter.GaussianBlur(0.7))
    if random.random() < _TINTED:
        hsv = np.asarray(image.convert("HSV")).copy()
        hsv[..., 0] += np.uint8(random.integers(30, 226))
        image = Image.fromarray(hsv, "HSV").convert("RGB")
    if random.random() < 0.5:
        image, alpha = (i.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for i in (image, alpha))
    return np.asarray(image), alpha


def compose_images(
    cut_outs: Sequence[CutOut],
    backgrounds: Sequence[Scene],
    folder: Path,
    *,
    count: int,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Compose images in a folder, `NNNN.jpg`, and describe them in its `scenes.jsonl`.

    Args:
        cut_outs: Things to paste.
        backgrounds: Images to paste them on.
        folder: Where they are written; images that are there already stay.
        count: Number of images.
        seed: Seed of the draw.

    Yields:
        The line of each image: its file, its things with their masks, names that are not in it.

    Raises:
        InputError: There are not enough names to choose from.
    """
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({one.name for one in cut_outs})
    if len(names) <= 2 * _ABSENT or not backgrounds:
        raise InputError(f"too few things to cut out for composed images: {len(names)} names")
    lines = []
    for index in range(count):
        random = np.random.default_rng((seed, index))
        scene = backgrounds[int(random.integers(len(backgrounds)))]
        taken = frozenset(scene.layers)
        with Image.open(scene.image) as background:
            image, placed = compose(cut_outs, background, taken, random)
        file = folder / f"{index:04d}.jpg"
        if not file.exists():
            image.save(file, quality=92)
        free = [name for name in names if name not in taken | {name for name, _ in placed}]
        line = {
            "image": file.name,
            "things": [{"name": name, "mask": mask_to_rle(mask)} for name, mask in placed],
            "absent": [str(name) for name in random.choice(free, _ABSENT, replace=False)],
        }
        lines.append(line)
        yield line
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomically(folder / "scenes.jsonl", text.encode())


def read_composed(folder: Path) -> list[Scene]:
    """Read the scenes that `compose_images` wrote; none if there is no such folder."""
    file = folder / "scenes.jsonl"
    if not file.is_file():
        return []
    scenes = []
    for line in map(json.loads, file.read_text().splitlines()):
        masks = [(thing["name"], rle_to_mask(thing["mask"])) for thing in line["things"]]
        layers: dict[str, np.ndarray] = {}
        for name, mask in masks:
            layers[name] = layers.get(name, np.zeros(mask.shape, bool)) | mask
        image = folder / line["image"]
        shades = shades_of_masks(image, [mask for _, mask in masks])
        things = [
            Thing(name, mask_to_coverage(mask, SHAPE), shade)
            for (name, mask), shade in zip(masks, shades, strict=True)
        ]
        covered = {name: mask_to_coverage(mask, SHAPE) for name, mask in layers.items()}
        known = frozenset(layers) | frozenset(line["absent"])
        scenes.append(Scene(image, SOURCE, covered, known, tuple(things)))
    return scenes
