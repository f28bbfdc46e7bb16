"""Images with masks as scenes: for every name and every instance, its coverage of nano's cells.

Three collections are read: COCO instances, COCO panoptic, and label-map folders with a name list
(Clothing Co-Parsing). A scene also says which names were annotated at all: only such a name, when
the image has none of it, may be asked for as an absent thing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.core.geometry import mask_to_coverage, polygons_to_mask
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.models.nano.encoders.colors import name_pixels, shares_of
from text4seg.models.nano.encoders.detector import COCO_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jaxtyping import Bool, Float32

SHAPE = GridShape(16, 16)
# Below this share of the image a thing is neither asked for nor called absent.
SMALLEST_SHARE = 0.003


@dataclass(frozen=True, slots=True)
class Thing:
    """One of a kind. `shades` are the shares of its pixels' colors, where they were looked at."""

    name: str
    coverage: Float32[np.ndarray, "16 16"]
    shades: Float32[np.ndarray, " 12"] | None = None

    @property
    def share(self) -> float:
        return float(self.coverage.mean())


@dataclass(frozen=True, slots=True)
class Scene:
    image: Path
    source: str
    layers: dict[str, Float32[np.ndarray, "16 16"]]
    annotated: frozenset[str]
    things: tuple[Thing, ...] = field(default=())
    shades: dict[str, Float32[np.ndarray, " 12"]] = field(default_factory=dict)

    @property
    def present(self) -> list[str]:
        return [name for name, layer in self.layers.items() if layer.mean() >= SMALLEST_SHARE]

    @property
    def absent(self) -> list[str]:
        return sorted(self.annotated - self.layers.keys())


def read_coco(annotations: Path, images: Path) -> list[Scene]:
    """COCO instances: a layer a class (crowds included), a thing an instance (crowds not)."""
    document = json.loads(annotations.read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for record in document["annotations"]:
        grouped[record["image_id"]].append(record)
    annotated = frozenset(names.values())
    scenes = []
    for image in document["images"]:
        size = Size(image["height"], image["width"])
        masks: dict[str, Bool[np.ndarray, "h w"]] = {}
        single: list[tuple[str, Bool[np.ndarray, "h w"]]] = []
        for record in grouped[image["id"]]:
            name = names[record["category_id"]]
            mask = annotation_to_mask(record["segmentation"], size)
            masks[name] = mask if name not in masks else masks[name] | mask
            if not record.get("iscrowd"):
                single.append((name, mask))
        things = _make_things(images / image["file_name"], single)
        layers = {name: mask_to_coverage(mask, SHAPE) for name, mask in masks.items()}
        scenes.append(Scene(images / image["file_name"], "coco", layers, annotated, things))
    return scenes


def shades_of_masks(
    image_path: Path, masks: Sequence[Bool[np.ndarray, "h w"]]
) -> list[Float32[np.ndarray, " 12"] | None]:
    """The colors of every mask's pixels; None of all where the image is not there.

    Every second pixel is looked at.
    """
    from PIL import Image

    if not masks or not image_path.is_file():
        return [None] * len(masks)
    height, width = masks[0].shape
    with Image.open(image_path) as image:
        pixels = np.asarray(image.convert("RGB").resize((width, height)))
    names = name_pixels(np.ascontiguousarray(pixels[::2, ::2]))
    return [shares_of(names, mask[::2, ::2]) for mask in masks]


def _make_things(
    image: Path, masks: Sequence[tuple[str, Bool[np.ndarray, "h w"]]]
) -> tuple[Thing, ...]:
    shades = shades_of_masks(image, [mask for _, mask in masks])
    return tuple(
        Thing(name, mask_to_coverage(mask, SHAPE), shade)
        for (name, mask), shade in zip(masks, shades, strict=True)
    )


def annotation_to_mask(segmentation: Any, size: Size) -> Bool[np.ndarray, "h w"]:
    """COCO's polygons or run lengths."""
    if isinstance(segmentation, dict):
        return rle_to_mask(segmentation)
    return polygons_to_mask(segmentation, size)


def read_panoptic(annotations: Path, masks: Path, root: Path) -> list[Scene]:
    """COCO panoptic: things and stuff; a pixel's segment is its color as a number in base 256."""
    from PIL import Image

    document = json.loads(annotations.read_text())
    names = {
        category["id"]: clean_stuff_name(category["name"]) for category in document["categories"]
    }
    paths = {
        image["id"]: root / image["folder"] / image["file_name"] for image in document["images"]
    }
    annotated = frozenset(names.values())
    scenes = []
    for record in document["annotations"]:
        pixels = np.asarray(Image.open(masks / record["file_name"]).convert("RGB")).astype(np.int64)
        segments = pixels @ np.array([1, 256, 65536])
        layers: dict[str, Float32[np.ndarray, "16 16"]] = {}
        single: list[tuple[str, Bool[np.ndarray, "h w"]]] = []
        for segment in record["segments_info"]:
            name = names[segment["category_id"]]
            mask = segments == segment["id"]
            coverage = mask_to_coverage(mask, SHAPE)
            layers[name] = layers.get(name, np.zeros_like(coverage)) + coverage
            if name in COCO_CLASSES and not segment.get("iscrowd"):
                single.append((name, mask))
        path = paths[record["image_id"]]
        scenes.append(Scene(path, "panoptic", layers, annotated, _make_things(path, single)))
    return scenes


def read_label_maps(index: Path, images: Path, masks: Path, split: str) -> list[Scene]:
    """Label maps of street images: garments and body parts, and the whole person they add up to."""
    from PIL import Image

    document = json.loads(index.read_text())
    labels: list[str] = document["labels"]
    annotated = frozenset(labels[1:]) | {"person"}
    scenes = []
    for stem in document[split]:
        pixels = np.asarray(Image.open(masks / f"{stem}.png"))
        masks_of = {labels[value]: pixels == value for value in np.unique(pixels) if value}
        layers = {name: mask_to_coverage(mask, SHAPE) for name, mask in masks_of.items()}
        image = images / f"{stem}.jpg"
        found = zip(masks_of, shades_of_masks(image, list(masks_of.values())), strict=True)
        shades = {name: shade for name, shade in found if shade is not None}
        layers["person"] = mask_to_coverage(pixels > 0, SHAPE)
        scenes.append(Scene(image, "clothing", layers, annotated, shades=shades))
    return scenes


def clean_stuff_name(name: str) -> str:
    """`wall-other-merged` → `wall`, `wall-brick` → `brick wall`: as a person would say it."""
    for suffix in ("-other-merged", "-merged", "-stuff", "-other"):
        name = name.removesuffix(suffix)
    first, _, second = name.partition("-")
    return (
        f"{second} {first}"
        if second in ("brick", "stone", "tile", "wood")
        else name.replace("-", " ")
    )


def read_collection(root: Path, split: str) -> Iterator[Scene]:
    """Everything under `root`; panoptic joins `train` only.

    `coco/`: `instances_{split}.json`, `images/`. `clothing/`: `index.json` (`labels`, and the file
    stems of every split), `images/STEM.jpg`, `masks/STEM.png`. `panoptic/`: `panoptic.json`,
    `masks/`; its images lie in the folders that the file names, under `root`. A panoptic image that
    is also among the COCO validation images is left out: no score on training images.
    """
    coco = root / "coco"
    yield from read_coco(coco / f"instances_{split}.json", coco / "images")
    clothing = root / "clothing"
    yield from read_label_maps(
        clothing / "index.json", clothing / "images", clothing / "masks", split
    )
    if split == "train":
        held_out = {
            image["file_name"]
            for image in json.loads((coco / "instances_val.json").read_text())["images"]
        }
        panoptic = root / "panoptic"
        for scene in read_panoptic(panoptic / "panoptic.json", panoptic / "masks", root):
            if scene.image.name not in held_out:
                yield scene


def known_names(scenes: Iterable[Scene]) -> list[str]:
    """All annotated names, sorted: the fusion's name head has one output for each."""
    return sorted({name for scene in scenes for name in scene.annotated})
