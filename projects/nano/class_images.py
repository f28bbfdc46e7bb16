"""Images of one thing each, of a thousand classes (ImageNet), outlined by U²-Net-p.

The class is in an image's file name; what is salient in the image is taken for the thing. Masks
that cover hardly anything or nearly everything are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from projects.nano.attribute_questions import SyntheticQuestion
from projects.nano.referring_questions import phrase
from projects.nano.scenes import SHAPE, Scene
from text4seg.core.geometry import mask_to_coverage
from text4seg.models.nano.text.lexicon import ImagenetClass, imagenet_classes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jaxtyping import Float32, UInt8

SOURCE = "imagenet"
_SMALLEST, _LARGEST = 0.03, 0.85
# Saliency is 0 to 255: from the first on a pixel is the thing. An outline is unclear if more than
# the last share of the image lies in between.
SALIENT, _SURE, _MOST_UNSURE = 128, (64, 192), 0.12
_SIDE = 320
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ABSENT_SHARE = 0.36
_RELATED_SHARE = 0.5


def outline_images(image_dir: Path, masks: Path, network: Path) -> Iterator[Path]:
    """Write the saliency of each image as a gray PNG of 320x320, unless it is there already.

    Args:
        image_dir: Images named `WNID_NAME.jpg`.
        masks: Folder of the PNG files.
        network: U²-Net-p as an ONNX file.

    Yields:
        The file of each image.
    """
    import cv2
    from PIL import Image

    net = cv2.dnn.readNetFromONNX(str(network))
    masks.mkdir(parents=True, exist_ok=True)
    for image_path in sorted(image_dir.glob("n*.jpg")):
        file = masks / f"{image_path.stem}.png"
        if not file.exists():
            with Image.open(image_path) as image:
                square = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            pixels = np.asarray(square, dtype=np.float32)
            pixels = (pixels / max(float(pixels.max()), 1e-6) - _MEAN) / _STD
            net.setInput(pixels.transpose(2, 0, 1)[None].astype(np.float32))
            seen = np.asarray(net.forward()).reshape(-1, _SIDE, _SIDE)[0]
            seen = (seen - seen.min()) / max(float(np.ptp(seen)), 1e-6)
            Image.fromarray((seen * 255).astype(np.uint8)).save(file)
        yield file


def trusted_coverage(saliency: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "16 16"] | None:
    """Convert saliency to coverage of the cells; None if the outline is unclear."""
    mask = saliency >= SALIENT
    unsure = ((saliency > _SURE[0]) & (saliency < _SURE[1])).mean()
    if not _SMALLEST <= mask.mean() <= _LARGEST or unsure > _MOST_UNSURE:
        return None
    coverage: Float32[np.ndarray, "16 16"] = mask_to_coverage(mask, SHAPE)
    return coverage


def read_classes(images: Path, masks: Path, *, held_out: bool = False) -> list[Scene]:
    """Read the images whose outline is clear; their layer is named by WordNet's id of the class."""
    from PIL import Image

    by_wnid = {one.wnid: one for one in imagenet_classes()}
    scenes = []
    for file in sorted(masks.glob("n*.png")):
        one = by_wnid.get(file.stem.partition("_")[0])
        if one is None or one.held_out != held_out:
            continue
        coverage = trusted_coverage(np.asarray(Image.open(file).convert("L")))
        if coverage is not None:
            layers = {one.wnid: coverage}
            scenes.append(Scene(images / f"{file.stem}.jpg", SOURCE, layers, frozenset()))
    return scenes


class ClassQuestions:
    """Asks for the class of an image in one of its words, or for another class."""

    def __init__(self) -> None:
        self._classes = [one for one in imagenet_classes() if not one.held_out]
        self._by_wnid = {one.wnid: one for one in self._classes}

    def ask(self, scene: Scene, random: np.random.Generator) -> SyntheticQuestion:
        """Draw a question about an image."""
        ((wnid, coverage),) = scene.layers.items()
        one = self._by_wnid[wnid]
        if random.random() >= _ABSENT_SHARE:
            words = [one.name, *one.others] if random.random() < 0.6 else list(one.words)
            return SyntheticQuestion(phrase(_pick(words, random), random), coverage, "name")
        other = self._other(one, random)
        words = [w for w in (other.name, *other.others) if w not in one.words]
        name = _pick(words, random) if words else other.name
        return SyntheticQuestion(phrase(name, random), np.zeros_like(coverage), "absent")

    def _other(self, one: ImagenetClass, random: np.random.Generator) -> ImagenetClass:
        """Draw another class; every second time one that shares a kind with it."""
        others = [c for c in self._classes if c is not one and c.name not in one.words]
        related = [c for c in others if set(c.kinds) & set(one.kinds)]
        pool = related if related and random.random() < _RELATED_SHARE else others
        return pool[random.integers(len(pool))]


def _pick(words: list[str], random: np.random.Generator) -> str:
    return words[random.integers(len(words))]
