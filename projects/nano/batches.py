"""Batches of images, each with several questions, augmented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from projects.nano.attribute_questions import SyntheticQuestion
from projects.nano.class_images import SOURCE, ClassQuestions
from projects.nano.referring_questions import ask, mirror
from text4seg.models.nano.config import VISION_CHANNELS
from text4seg.training.nano.augmentation import (
    as_cells,
    move_features,
    move_maps,
    to_cells,
    weaken_detector,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projects.nano.feature_store import FeatureStore
    from projects.nano.scenes import Scene

# Shares of the collections in a batch. By their sizes the large ones would drown the others.
MIX = {
    "coco": 0.36, "panoptic": 0.12, "clothing": 0.26, "pseudo": 0.06, "imagenet": 0.16,
    "composed": 0.14,
}  # fmt: skip
# Kinds of questions whose answer changes if a part of the image is cropped away.
_WHOLE_IMAGE_KINDS = ("placed", "related")
# Share of questions whose words are hidden, as if they were new: trains matching by meaning.
_HIDDEN = 0.3


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Images and questions of a step.

    Attributes:
        features: Of the images, `b rows c`.
        image: Index of each question's image, `q`.
        expressions: What the questions ask for.
        cells: 1 where the target is, `q 16 16`.
        names: Share of each cell that each known name covers, `b 256 n`.
        annotated: Which names were annotated in each image, `b n`.
        hidden: Questions to be answered as if their words were new, `q`.
    """

    features: Tensor
    image: Tensor
    expressions: list[str]
    cells: Tensor
    names: Tensor
    annotated: Tensor
    hidden: Tensor | None = None


class Batches:
    """Draws the batches of a training."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        store: FeatureStore,
        names: Sequence[str],
        *,
        images: int,
        questions: int,
        channels: int = VISION_CHANNELS,
    ) -> None:
        """Prepare to draw.

        Args:
            scenes: All images to train on.
            store: Their features.
            names: Names of the name head, in its order.
            images: Images of a batch.
            questions: Questions of an image.
            channels: Columns of the features that are in use.
        """
        by_source = {source: [s for s in scenes if s.source == source] for source in MIX}
        self._by_source = {source: found for source, found in by_source.items() if found}
        shares = np.array([MIX[source] for source in self._by_source])
        self._shares = shares / shares.sum()
        self._store, self._names = store, {name: index for index, name in enumerate(names)}
        self._images, self._questions, self._channels = images, questions, channels
        self._classes = ClassQuestions()

    def draw(self, seed: int) -> ImageBatch:
        """Draw a batch; the same seed gives the same batch."""
        random = np.random.default_rng(seed)
        sources = random.choice(list(self._by_source), size=self._images, p=self._shares)
        scenes = [self._by_source[s][random.integers(len(self._by_source[s]))] for s in sources]
        flips = random.random(len(scenes)) < 0.5
        asked = [
            [mirror(a) if flip else a for a in self._ask_often(scene, random)]
            for scene, flip in zip(scenes, flips, strict=True)
        ]
        flat = [a for group in asked for a in group]
        names, annotated = self._name_maps(scenes)
        seen = torch.stack([self._store[scene.image] for scene in scenes]).float()
        flipped = torch.from_numpy(flips)
        names = torch.where(flipped[:, None, None, None], names.flip(3), names)
        image = torch.arange(len(scenes)).repeat_interleave(torch.tensor([len(a) for a in asked]))
        cover = torch.from_numpy(np.stack([a.coverage for a in flat]))[:, None]
        whole = [any(a.kind in _WHOLE_IMAGE_KINDS for a in group) for group in asked]
        zoom, shift = _jitter(np.array(whole), random)
        seen = move_features(seen, flips=flipped, zoom=zoom, shift=shift)
        names = move_maps(names, zoom=zoom, shift=shift)
        cover = move_maps(cover, zoom=zoom[image], shift=shift[image])
        seen = weaken_detector(seen, self._channels, random)
        return ImageBatch(
            seen, image, [a.expression for a in flat], to_cells(cover[:, 0]),
            as_cells(names), annotated, torch.from_numpy(random.random(len(flat)) < _HIDDEN),
        )  # fmt: skip

    def _ask_often(self, scene: Scene, random: np.random.Generator) -> list[SyntheticQuestion]:
        # An image of one thing has little to ask for.
        if scene.source == SOURCE:
            return [
                self._classes.ask(scene, random) for _ in range(max(1, self._questions * 2 // 3))
            ]
        asked = (ask(scene, random) for _ in range(self._questions))
        return [a for a in asked if a is not None]

    def _name_maps(self, scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
        names = torch.zeros(len(scenes), len(self._names), 16, 16)
        annotated = torch.zeros(len(scenes), len(self._names), dtype=torch.bool)
        for row, scene in enumerate(scenes):
            for name in self._names.keys() & scene.annotated:
                annotated[row, self._names[name]] = True
            for name in self._names.keys() & scene.layers:
                names[row, self._names[name]] = torch.from_numpy(scene.layers[name])
        return names, annotated


def _jitter(whole: np.ndarray, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw zooms of 0.8 to 1.5 and shifts of up to four cells; half of the images stay as they are.

    An image that has to stay `whole` is neither enlarged nor shifted out of view: once the left dog
    is cropped away, another one is the left dog.
    """
    count = len(whole)
    still = random.random(count) < 0.5
    zoom = np.where(still, 1.0, np.exp(random.uniform(np.log(0.8), np.log(1.5), count)))
    shift = np.where(still[:, None], 0.0, random.uniform(-0.5, 0.5, (count, 2)))
    zoom = np.where(whole, np.minimum(zoom, 1.0), zoom)
    room = np.where(whole, (1 - zoom) / zoom, 1.0)[:, None]
    shift = shift.clip(-room, room)
    return torch.from_numpy(zoom).float(), torch.from_numpy(shift).float()
