"""Batches of photos, each with several questions, flipped and moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from text4seg.models.nano.eyes import DETECTOR_CHANNELS
from text4seg.training.nano import features as maps
from text4seg.training.nano.classes import SOURCE, ClassQuestions
from text4seg.training.nano.questions import Asked, ask, mirror

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text4seg.training.nano.features import FeatureStore
    from text4seg.training.nano.scenes import Scene

# Shares of the collections in a batch, whatever their sizes.
MIX = {"coco": 0.38, "panoptic": 0.13, "clothing": 0.24, "pseudo": 0.1, "imagenet": 0.2}
# Share of questions whose words match nothing that is the same word: as if they were new ones.
_HIDDEN = 0.3
# Share of the detector's classes that are seen fainter, and of those that are missed.
_FAINT, _MISSED = 0.3, 0.06


@dataclass(frozen=True, slots=True)
class PhotoBatch:
    """Photos: `features b 256 c`, `names b 256 n` (coverage of every known name), `annotated b n`.

    Questions: the index of their `photo q`, `expressions`, `cells q 16 16` (0 or 1), and which are
    to be answered as if their words were new (`hidden q`).
    """

    features: Tensor
    photo: Tensor
    expressions: list[str]
    cells: Tensor
    names: Tensor
    annotated: Tensor
    hidden: Tensor | None = None


class Batches:
    def __init__(
        self,
        scenes: Sequence[Scene],
        store: FeatureStore,
        names: Sequence[str],
        *,
        photos: int,
        questions: int,
    ) -> None:
        by_source = {source: [s for s in scenes if s.source == source] for source in MIX}
        self._by_source = {source: found for source, found in by_source.items() if found}
        shares = np.array([MIX[source] for source in self._by_source])
        self._shares = shares / shares.sum()
        self._store, self._names = store, {name: index for index, name in enumerate(names)}
        self._photos, self._questions = photos, questions
        self._classes = ClassQuestions()

    def draw(self, seed: int) -> PhotoBatch:
        """The batch of that number: the same seed, the same batch."""
        random = np.random.default_rng(seed)
        sources = random.choice(list(self._by_source), size=self._photos, p=self._shares)
        scenes = [self._by_source[s][random.integers(len(self._by_source[s]))] for s in sources]
        flips = random.random(len(scenes)) < 0.5
        asked = [
            [mirror(a) if flip else a for a in self._ask_often(scene, random)]
            for scene, flip in zip(scenes, flips, strict=True)
        ]
        flat = [a for group in asked for a in group]
        names, annotated = self._name_maps(scenes)
        seen = maps.as_map(torch.stack([self._store[scene.photo] for scene in scenes]).float())
        seen = torch.where(torch.from_numpy(flips)[:, None, None, None], seen.flip(3), seen)
        names = torch.where(torch.from_numpy(flips)[:, None, None, None], names.flip(3), names)
        photo = torch.arange(len(scenes)).repeat_interleave(torch.tensor([len(a) for a in asked]))
        cover = torch.from_numpy(np.stack([a.coverage for a in flat]))[:, None]
        zoom, shift = _jitter(len(scenes), random)
        seen, names = (
            maps.move(seen, zoom=zoom, shift=shift),
            maps.move(names, zoom=zoom, shift=shift),
        )
        cover = maps.move(cover, zoom=zoom[photo], shift=shift[photo])
        seen = _weaken_detector(maps.as_cells(seen), random)
        return PhotoBatch(
            seen, photo, [a.expression for a in flat], to_cells(cover[:, 0]),
            maps.as_cells(names), annotated, torch.from_numpy(random.random(len(flat)) < _HIDDEN),
        )  # fmt: skip

    def _ask_often(self, scene: Scene, random: np.random.Generator) -> list[Asked]:
        if scene.source == SOURCE:  # one thing: asked for a few times only
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


def _weaken_detector(seen: Tensor, random: np.random.Generator) -> Tensor:
    """Some classes seen fainter, or missed: `b 256 channels`, the detector's being the last ones.

    The detector was itself trained on photos like these and finds more there than in new ones.
    """
    shape = (len(seen), 1, DETECTOR_CHANNELS)
    faint = np.where(random.random(shape) < _FAINT, random.uniform(0.2, 1.0, shape), 1.0)
    factor = faint * (random.random(shape) >= _MISSED)
    visual, boxes = seen[..., :-DETECTOR_CHANNELS], seen[..., -DETECTOR_CHANNELS:]
    return torch.cat([visual, boxes * torch.from_numpy(factor).float()], dim=-1)


def to_cells(coverage: Tensor) -> Tensor:
    """`q 16 16` coverage → 0 or 1 at one half; the best-covered cells of a small thing stay."""
    best = coverage.amax(dim=(1, 2), keepdim=True)
    floor = torch.minimum(torch.full_like(best, 0.5), best * 0.999)
    return ((coverage >= floor) & (best > 0.02)).float()


def _jitter(count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Half of the photos as they are; others zoomed by 0.8 to 1.5, shifted by up to four cells."""
    still = random.random(count) < 0.5
    zoom = np.where(still, 1.0, np.exp(random.uniform(np.log(0.8), np.log(1.5), count)))
    shift = np.where(still[:, None], 0.0, random.uniform(-0.5, 0.5, (count, 2)))
    return torch.from_numpy(zoom).float(), torch.from_numpy(shift).float()
