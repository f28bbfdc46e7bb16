"""Scenes: images with the coverage of nano's 16x16 cells by every name and every instance.

Three collections are read: COCO instances, COCO panoptic, and folders of label maps with a list of
names (Clothing Co-Parsing). A scene also has the names that were annotated at all: only such a name
may be asked for as an absent thing.
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
SMALLEST_SHARE = 0.003
"""Share of the image below which a thing is neither asked for nor called absent."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One instance.

    Attributes:
        name: What it is.
        coverage: Share of each cell that it covers.
        shades: Shares of the colors among its pixels, if the image was there to look at.
    """

    name: str
    coverage: Float32[np.ndarray, "16 16"]
    shades: Float32[np.ndarray, " 12"] | None = None

    @property
    def share(self) -> float:
        """Share of the image that it covers."""
        return float(self.coverage.mean())


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and what is annotated in it.

    Attributes:
        image: The file.
        source: Its collection.
        layers: Coverage of the cells by name, all instances together.
        annotated: Names that were annotated if they are present.
        things: Single instances, without crowds.
        shades: Shares of the colors of names that have no single instances.
    """

    image: Path
    source: str
    layers: dict[str, Float32[np.ndarray, "16 16"]]
    annotated: frozenset[str]
    things: tuple[Thing, ...] = field(default=())
    shades: dict[str, Float32[np.ndarray, " 12"]] = field(default_factory=dict)

    @property
    def present(self) -> list[str]:
        """Names that are large enough to ask for."""
        return [name for name, layer in self.layers.items() if layer.mean() >= SMALLEST_SHARE]

    @property
    def absent(self) -> list[str]:
        """Names that were annotated and are not in the image."""
        return sorted(self.annotated - self.layers.keys())


def read_coco(annotations: Path, images: Path) -> list[Scene]:
    """Read COCO instances: a layer for each class, crowds too; a thing for each instance."""
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
    """Get the colors of each mask's pixels, of which every second one is enough.

    Returns:
        Shares of the twelve colors for each mask; None for all if the image file is missing.
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
    """Convert COCO's polygons or run lengths to a mask."""
    if isinstance(segmentation, dict):
        return rle_to_mask(segmentation)
    return polygons_to_mask(segmentation, size)


def read_panoptic(annotations: Path, masks: Path, root: Path) -> list[Scene]:
    """Read COCO panoptic: things and stuff.

    A pixel's segment is its color as a number in base 256.
    """
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
    """Read label maps of street images: garments, body parts, and the person they add up to."""
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
    """Reword COCO's stuff names: `wall-other-merged` → `wall`, `wall-brick` → `brick wall`."""
    for suffix in ("-other-merged", "-merged", "-stuff", "-other"):
        name = name.removesuffix(suffix)
    first, _, second = name.partition("-")
    return (
        f"{second} {first}"
        if second in ("brick", "stone", "tile", "wood")
        else name.replace("-", " ")
    )


def read_collection(root: Path, split: str) -> Iterator[Scene]:
    """Read all collections under a folder; its layout is in the README.

    Args:
        root: The folder.
        split: `train` or `val`.

    Yields:
        The scenes. Panoptic ones join `train` only, without COCO's validation images: nothing is
        scored on images that were trained on.
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
