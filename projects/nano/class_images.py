"""Images of one thing each, a thousand names in all: ImageNet, outlined by U²-Net-p.

An image's file name holds its class; what stands out in it is taken for the thing. Masks that are
hardly anything or nearly everything are left out.
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
# Saliency is 0 to 255. A clear outline has little in between.
SALIENT, _SURE, _MOST_UNSURE = 128, (64, 192), 0.12
_SIDE = 320
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ABSENT_SHARE = 0.36
_RELATED_SHARE = 0.5


def outline_images(image_dir: Path, masks: Path, network: Path) -> Iterator[Path]:
    """Writes what stands out in each image as a grey PNG, 320×320, where that was not done."""
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
    """What stands out, as coverage of cells; None where it is not to be trusted."""
    mask = saliency >= SALIENT
    unsure = ((saliency > _SURE[0]) & (saliency < _SURE[1])).mean()
    if not _SMALLEST <= mask.mean() <= _LARGEST or unsure > _MOST_UNSURE:
        return None
    coverage: Float32[np.ndarray, "16 16"] = mask_to_coverage(mask, SHAPE)
    return coverage


def read_classes(images: Path, masks: Path, *, held_out: bool = False) -> list[Scene]:
    """A scene an image with a trusted mask, its layer named by WordNet's id of the class."""
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
    """What is asked of such an image: its class in one of its words, or another class's words."""

    def __init__(self) -> None:
        self._classes = [one for one in imagenet_classes() if not one.held_out]
        self._by_wnid = {one.wnid: one for one in self._classes}

    def ask(self, scene: Scene, random: np.random.Generator) -> SyntheticQuestion:
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
        """Another class that this is not of; every second time one of a kind with it."""
        others = [c for c in self._classes if c is not one and c.name not in one.words]
        related = [c for c in others if set(c.kinds) & set(one.kinds)]
        pool = related if related and random.random() < _RELATED_SHARE else others
        return pool[random.integers(len(pool))]


def _pick(words: list[str], random: np.random.Generator) -> str:
    return words[random.integers(len(words))]
