"""Batches of photos, each with several questions, flipped and moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from text4seg.training.nano import features as maps
from text4seg.training.nano.questions import ask, mirror

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text4seg.training.nano.features import FeatureStore
    from text4seg.training.nano.scenes import Scene

# Shares of the collections in a batch, whatever their sizes.
MIX = {"coco": 0.45, "panoptic": 0.17, "clothing": 0.38}


@dataclass(frozen=True, slots=True)
class PhotoBatch:
    """Photos: `features b 256 c`, `names b 256 n` (coverage of every known name), `annotated b n`.

    Questions: the index of their `photo q`, `expressions`, `cells q 16 16` (0 or 1).
    """

    features: Tensor
    photo: Tensor
    expressions: list[str]
    cells: Tensor
    names: Tensor
    annotated: Tensor


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
        self._by_source = {source: [s for s in scenes if s.source == source] for source in MIX}
        self._store, self._names = store, {name: index for index, name in enumerate(names)}
        self._photos, self._questions = photos, questions

    def draw(self, seed: int) -> PhotoBatch:
        """The batch of that number: the same seed, the same batch."""
        random = np.random.default_rng(seed)
        sources = random.choice(list(MIX), size=self._photos, p=list(MIX.values()))
        scenes = [self._by_source[s][random.integers(len(self._by_source[s]))] for s in sources]
        flips = random.random(len(scenes)) < 0.5
        asked = [
            [mirror(a) if flip else a for a in (ask(scene, random) for _ in range(self._questions))]
            for scene, flip in zip(scenes, flips, strict=True)
        ]
        flat = [a for group in asked for a in group]
        names, annotated = self._name_maps(scenes)
        seen = maps.as_map(torch.stack([self._store[scene.photo] for scene in scenes]).float())
        seen = torch.where(torch.from_numpy(flips)[:, None, None, None], seen.flip(3), seen)
        names = torch.where(torch.from_numpy(flips)[:, None, None, None], names.flip(3), names)
        photo = torch.arange(len(scenes)).repeat_interleave(self._questions)
        cover = torch.from_numpy(np.stack([a.coverage for a in flat]))[:, None]
        zoom, shift = _jitter(len(scenes), random)
        seen, names = (
            maps.move(seen, zoom=zoom, shift=shift),
            maps.move(names, zoom=zoom, shift=shift),
        )
        cover = maps.move(cover, zoom=zoom[photo], shift=shift[photo])
        return PhotoBatch(
            maps.as_cells(seen), photo, [a.expression for a in flat], to_cells(cover[:, 0]),
            maps.as_cells(names), annotated,
        )  # fmt: skip

    def _name_maps(self, scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
        names = torch.zeros(len(scenes), len(self._names), 16, 16)
        annotated = torch.zeros(len(scenes), len(self._names), dtype=torch.bool)
        for row, scene in enumerate(scenes):
            for name in scene.annotated:
                annotated[row, self._names[name]] = True
            for name, layer in scene.layers.items():
                names[row, self._names[name]] = torch.from_numpy(layer)
        return names, annotated


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
