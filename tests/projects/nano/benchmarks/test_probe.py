"""The linear probe learns what is linear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from projects.nano.benchmarks import probe
from projects.nano.feature_store import FeatureStore
from projects.nano.scenes import Scene
from text4seg.models.nano.encoders.vision import CHANNELS, COLUMNS, DETECTOR_CHANNELS, ROWS

VISUAL = CHANNELS - DETECTOR_CHANNELS


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[list[Scene], FeatureStore]:
    """Twelve images: cups are where channel 3 is large, forks where channel 4 is."""
    store, random = FeatureStore(tmp_path / "features", tmp_path), np.random.default_rng(0)
    scenes = []
    for index in range(12):
        layers = {}
        features = torch.from_numpy(random.normal(size=(256, 8 + DETECTOR_CHANNELS))).float()
        features[:, 8:] = 0.0
        for channel, name in ((3, "cup"), (4, "fork")):
            layer = (random.random((16, 16)) < 0.2).astype(np.float32)
            features[:, channel] += 12.0 * torch.from_numpy(layer).flatten()
            layers[name] = layer
        image = tmp_path / f"{index}.jpg"
        store.keep(image, features.half())
        scenes.append(Scene(image, "coco", layers, frozenset({"cup", "fork", "teacup"})))
    return scenes, store


def test_a_probe_learns_what_is_linear(pictures: tuple[list[Scene], FeatureStore]) -> None:
    scenes, store = pictures
    learned = probe.learn(scenes, store, epochs=300)
    truth = scenes[0].layers["fork"] > 0
    marked = learned.cells(store[scenes[0].image], "the left fork")
    assert (marked & truth).sum() / (marked | truth).sum() > 0.85
    assert not learned.cells(store[scenes[0].image], "the elephant").any()
    assert not learned.cells(store[scenes[0].image], "the teacup").any(), "the longest name counts"


def test_a_probe_reads_no_colors_and_no_boxes(tmp_path: Path) -> None:
    """Its threshold is chosen on features as the vision encoder gives them."""
    store = FeatureStore(tmp_path / "features", tmp_path)
    store.keep(tmp_path / "0.jpg", torch.zeros(ROWS, COLUMNS).half())
    layer = np.ones((16, 16), dtype=np.float32)
    scenes = [Scene(tmp_path / "0.jpg", "coco", {"cup": layer}, frozenset({"cup"}))]
    still = torch.zeros(VISUAL), torch.ones(VISUAL), torch.zeros(1, CHANNELS), torch.zeros(1)
    learned = probe.with_best_threshold(probe.Probe(("cup",), *still), scenes, store)
    assert learned.cells(store[tmp_path / "0.jpg"], "the cup").all()
