"""A linear probe: logistic regression from the frozen features of a cell to what is in it.

One for the names of a collection, trained on its train images alone; without words and without
neighboring cells. It is what the encoders' features give by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from projects.nano.benchmarks.cells import CELL_ROWS
from projects.nano.feature_store import FeatureStore, statistics
from text4seg.models.nano.encoders.vision import CHANNELS, DETECTOR_CHANNELS
from text4seg.models.nano.fusion import spread_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projects.nano.scenes import Scene

EPOCHS = 8
IMAGES_A_STEP = 8
RATE, DECAY = 1e-3, 1e-2
# Every tenth train image is kept back, to choose the threshold on.
KEPT_BACK = 10
THRESHOLDS = (
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.07,
    *np.round(np.arange(0.1, 0.65, 0.05), 2).tolist(),
)
SMALLEST_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Probe:
    names: tuple[str, ...]
    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor
    threshold: float = 0.5

    def odds(self, features: Tensor) -> Tensor:
        """`… channels` → log-odds `… names`."""
        return functional.linear(inputs(features, self.mean, self.std), self.weight, self.bias)

    def cells(self, features: Tensor, expression: str) -> np.ndarray:
        """Cells of the name that the expression ends in ("the left dog": of any dog)."""
        named = [name for name in self.names if expression.endswith(name)]
        if not named:
            return np.zeros((16, 16), dtype=bool)
        odds = self.odds(of_cells(features))[:, self.names.index(max(named, key=len))]
        return np.asarray((odds.sigmoid() >= self.threshold).reshape(16, 16).numpy())


def of_cells(features: Tensor) -> Tensor:
    """Select the visual features of the cells, `256 channels`, without colors and boxes."""
    return features[:CELL_ROWS, :CHANNELS].float()


def inputs(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Standardised, the detector's scores by their order of magnitude, as the fusion reads them."""
    visual, boxes = features[..., :-DETECTOR_CHANNELS], features[..., -DETECTOR_CHANNELS:]
    return torch.cat([((visual - mean) / std).clamp(-8, 8), spread_scores(boxes)], dim=-1)


def learn(
    scenes: Sequence[Scene], store: FeatureStore, *, epochs: int = EPOCHS, seed: int = 0
) -> Probe:
    """From the train images of one collection: all of its annotated names."""
    names = tuple(sorted({name for scene in scenes for name in scene.annotated}))
    kept_back = scenes[::KEPT_BACK]
    learned = [scene for index, scene in enumerate(scenes) if index % KEPT_BACK]
    seen = [store[scene.image][:CELL_ROWS, :CHANNELS] for scene in learned]
    mean, std = statistics(seen, seen[0].shape[-1] - DETECTOR_CHANNELS)
    weight = torch.zeros(len(names), seen[0].shape[-1], requires_grad=True)
    # As rare as names are, a cell is none of them at first.
    bias = torch.full((len(names),), -4.0, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=RATE, weight_decay=DECAY)
    steps = epochs * -(-len(seen) // IMAGES_A_STEP)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(len(seen))
        for start in range(0, len(order), IMAGES_A_STEP):
            chosen = order[start : start + IMAGES_A_STEP]
            features = torch.cat([seen[i] for i in chosen]).float()
            wanted = torch.cat([coverage(learned[i], names) for i in chosen])
            odds = functional.linear(inputs(features, mean, std), weight, bias)
            loss = functional.binary_cross_entropy_with_logits(odds, wanted, reduction="none")
            optimizer.zero_grad()
            loss.sum(dim=1).mean().backward()
            optimizer.step()
            schedule.step()
    probe = Probe(names, mean, std, weight.detach(), bias.detach())
    return with_best_threshold(probe, kept_back, store)


def coverage(scene: Scene, names: Sequence[str]) -> Tensor:
    """`256 names`, 1 where at least half of the cell is of that name."""
    wanted = torch.zeros(256, len(names))
    for column, name in enumerate(names):
        if name in scene.layers:
            wanted[:, column] = torch.from_numpy(scene.layers[name] >= 0.5).flatten().float()
    return wanted


def with_best_threshold(probe: Probe, scenes: Sequence[Scene], store: FeatureStore) -> Probe:
    """The threshold of the largest mean IoU over what is there on these images."""
    overlaps: dict[float, list[float]] = {threshold: [] for threshold in THRESHOLDS}
    for scene in scenes:
        chances = probe.odds(of_cells(store[scene.image])).sigmoid()
        wanted = coverage(scene, probe.names) > 0
        for name, layer in scene.layers.items():
            if layer.mean() > SMALLEST_SHARE and name in probe.names:
                column = probe.names.index(name)
                truth = wanted[:, column]
                for threshold, found in overlaps.items():
                    marked = chances[:, column] >= threshold
                    union = int((marked | truth).sum())
                    found.append(int((marked & truth).sum()) / union if union else 0.0)
    best = max(overlaps, key=lambda threshold: float(np.mean(overlaps[threshold] or [0.0])))
    return Probe(probe.names, probe.mean, probe.std, probe.weight, probe.bias, best)
