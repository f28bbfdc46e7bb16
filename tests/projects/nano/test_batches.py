"""What a batch asks lies where it says, however the image was flipped and moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from projects.nano.batches import MIX, Batches, ImageBatch
from projects.nano.class_images import SOURCE
from projects.nano.scenes import Scene, Thing
from text4seg.models.nano.encoders.vision import DETECTOR_CHANNELS
from text4seg.training.nano.augmentation import to_cells

NAMES = ["cat", "cup", "dog", "hat"]


def layer(seed: int) -> np.ndarray:
    """A box of any size."""
    random = np.random.default_rng(seed)
    top, left = random.integers(0, 12, 2)
    height, width = random.integers(2, 5, 2)
    coverage = np.zeros((16, 16), dtype=np.float32)
    coverage[top : top + height, left : left + width] = 1.0
    return coverage


SOURCES = [source for source in MIX if source != SOURCE]


def scenes() -> list[Scene]:
    found = []
    for index, source in enumerate(SOURCES * 4):
        cat, cup = layer(index), layer(index + 50)
        annotated = frozenset({"cat", "cup", "hat" if source == "clothing" else "dog"})
        found.append(
            Scene(
                Path(f"{source}{index}.jpg"),
                source,
                {"cat": cat, "cup": cup},
                annotated,
                (Thing("cat", cat), Thing("cup", cup)),
            )
        )
    return found


class Store:
    """Features that are the coverage of cat and cup, the number of the image, and a detector's."""

    def __init__(self, scenes: list[Scene]) -> None:
        self._scenes = {scene.image: (index, scene) for index, scene in enumerate(scenes)}

    def __getitem__(self, image: Path) -> torch.Tensor:
        index, scene = self._scenes[image]
        channels = [scene.layers["cat"], scene.layers["cup"], np.full((16, 16), float(index))]
        seen = torch.from_numpy(np.stack(channels)).flatten(1).T.half()
        return torch.cat([seen, torch.full((256, DETECTOR_CHANNELS), 0.5).half()], dim=1)


def draw(seed: int, **options: int) -> ImageBatch:
    sizes = {"images": 4, "questions": 5} | options
    return Batches(scenes(), Store(scenes()), NAMES, **sizes).draw(seed)  # type: ignore[arg-type]


def test_a_batch_has_its_shapes() -> None:
    batch = draw(0)
    assert batch.features.shape == (4, 256, 3 + DETECTOR_CHANNELS)
    assert batch.image.tolist() == [i for i in range(4) for _ in range(5)]
    assert len(batch.expressions) == 20
    assert batch.cells.shape == (20, 16, 16)
    assert batch.names.shape == (4, 256, 4)
    assert batch.annotated.shape == (4, 4)
    assert set(batch.cells.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("seed", range(12))
def test_cells_lie_where_the_features_lie(seed: int) -> None:
    """Flips and moves carry features, targets and names along together."""
    batch = draw(seed)
    checked = 0
    for expression, image, cells in zip(batch.expressions, batch.image, batch.cells, strict=True):
        for channel, name in enumerate(("cat", "cup")):
            others = {"cat", "cup"} - {name}
            if name in expression.split() and others.isdisjoint(expression.split()) and cells.any():
                seen = batch.features[image, :, channel].view(1, 16, 16)
                assert torch.equal(cells, to_cells(seen)[0])
                checked += 1
    assert checked
    for channel in range(2):
        assert torch.allclose(batch.names[..., channel], batch.features[..., channel], atol=1e-3)
    assert not batch.names[..., 2:].any(), "there is no dog and no hat"


def test_some_images_are_flipped_and_some_moved_and_some_neither() -> None:
    still = {image.image.name: image for image in scenes()}
    kinds = {"as it is": 0, "flipped": 0, "moved": 0}
    everything = scenes()
    for seed in range(40):
        batch = draw(seed)
        for features in batch.features:
            index = int(features[:, 2].max().round())
            cat = torch.from_numpy(still[everything[index].image.name].layers["cat"])
            seen = features[:, 0].view(16, 16)
            if torch.allclose(seen, cat, atol=1e-4):
                kinds["as it is"] += 1
            elif torch.allclose(seen, cat.flip(1), atol=1e-4):
                kinds["flipped"] += 1
            else:
                kinds["moved"] += 1
    # Fewer than half: an image that is asked of its whole is never enlarged.
    assert kinds["moved"] == pytest.approx(45, abs=25)
    assert kinds["as it is"] == pytest.approx(58, abs=22)
    assert kinds["flipped"] == pytest.approx(58, abs=22)


def test_the_detector_is_sometimes_fainter_or_blind() -> None:
    still = [f for seed in range(40) for f in draw(seed).features if float(f[:, -1].max()) > 0]
    highest = torch.stack([f[:, -DETECTOR_CHANNELS:].amax(0) for f in still]).flatten()
    assert float((highest == 0).float().mean()) == pytest.approx(0.06, abs=0.02)
    assert float((highest < 0.49).float().mean()) == pytest.approx(0.35, abs=0.05)
    assert float(highest.max()) <= 0.5 + 1e-6


def test_a_scene_of_which_nothing_is_known_asks_less() -> None:
    empty = [replace(scene, layers={}, annotated=frozenset(), things=()) for scene in scenes()[:4]]
    known = scenes()[4:8]
    batches = Batches(
        [*empty, *known],
        Store(scenes()),
        NAMES,
        images=6,
        questions=2,  # type: ignore[arg-type]
    )
    batch = batches.draw(1)
    assert len(batch.expressions) == len(batch.image) == len(batch.cells) < 12
    silent = [i for i, names in enumerate(batch.annotated) if not names.any()]
    assert not set(batch.image.tolist()) & set(silent)


def test_the_same_number_is_the_same_batch() -> None:
    a, b, other = draw(7), draw(7), draw(8)
    assert a.expressions == b.expressions != other.expressions
    for name in ("features", "cells", "names", "annotated", "image"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_only_what_was_annotated_is_learned_from() -> None:
    everything = scenes()
    for seed in range(10):
        batch = draw(seed)
        for features, annotated in zip(batch.features, batch.annotated, strict=True):
            scene = everything[int(features[:, 2].max().round())]
            assert annotated.tolist() == [name in scene.annotated for name in NAMES]


def test_collections_come_in_their_shares() -> None:
    everything = scenes()
    found = [
        everything[int(features[:, 2].max().round())].source
        for seed in range(60)
        for features in draw(seed, questions=1).features
    ]
    for source in SOURCES:
        share = MIX[source] / sum(MIX[s] for s in SOURCES)
        assert found.count(source) / len(found) == pytest.approx(share, abs=0.1)
