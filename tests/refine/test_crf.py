"""The dense CRF against a plain twin that visits every pair of pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text4seg.core.types import Size
from text4seg.refine import crf
from text4seg.refine._permutohedral import Permutohedral
from text4seg.refine.crf import LOST, CrfSettings, mean_field

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def plain_mean_field(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Both kernels as matrices over all pairs."""
    settings = CrfSettings()
    height, width = labels.shape
    sure = np.clip(labels.astype(float).ravel(), 1 - settings.certainty, settings.certainty)
    ys, xs = np.mgrid[:height, :width]
    places, colours = np.stack([ys.ravel(), xs.ravel()], 1).astype(float), pixels.reshape(-1, 3)
    apart = ((places[:, None] - places[None]) ** 2).sum(-1)
    unlike = ((colours[:, None] - colours[None]) ** 2).sum(-1)
    near = np.exp(-apart / 2 / settings.near**2)
    far = np.exp(-apart / 2 / settings.far**2 - unlike / 2 / settings.colour**2)
    for matrix in (near, far):
        root = np.sqrt(matrix.sum(1))
        np.divide(matrix, root[:, None] * root[None], out=matrix)
    inside = sure
    for _ in range(settings.steps):
        message = settings.near_weight * near + settings.far_weight * far
        logits = np.log(sure / (1 - sure)) + message @ (2 * inside - 1)
        inside = 1 / (1 + np.exp(-logits))
    return inside.reshape(height, width)


@pytest.mark.parametrize("photo", ["cat.jpg", "coffee.jpg", "astronaut.jpg"])
def test_the_lattice_agrees_with_every_pair(photo: str) -> None:
    small = Image.open(PHOTOS / photo).convert("RGB").resize((48, 36))
    pixels = np.asarray(small, dtype=np.float64)
    labels = np.zeros((36, 48), dtype=np.float32)
    labels[6:30, 10:40] = 1
    fast, plain = mean_field(pixels, labels), plain_mean_field(pixels, labels)
    assert np.abs(fast - plain).mean() < 0.035
    assert ((fast >= 0.5) == (plain >= 0.5)).mean() > 0.96
    assert np.abs(plain - labels).mean() > 0.02, "the CRF has changed something"


def test_the_lattice_filters_like_a_gaussian() -> None:
    random = np.random.default_rng(0)
    features, values = random.normal(size=(600, 3)), random.random(600)
    apart = ((features[:, None] - features[None]) ** 2).sum(-1)
    kernel = np.exp(-apart / 2)
    lattice = Permutohedral(features)
    found = lattice.filter(values) / lattice.filter(np.ones(600))
    expected = kernel @ values / kernel.sum(1)
    assert np.corrcoef(found, expected)[0, 1] > 0.9
    assert np.abs(found - expected).mean() < 0.03


def test_the_outline_moves_to_the_edge_in_the_photo() -> None:
    photo = Image.new("RGB", (160, 120), (20, 60, 160))
    photo.paste((220, 200, 40), (50, 30, 115, 95))
    probability = np.zeros((12, 16), dtype=np.float32)
    probability[4:9, 6:11] = 1  # a cell too small on every side
    mask = crf(photo, probability, Size(120, 160)).mask
    truth = np.zeros((120, 160), dtype=bool)
    truth[30:95, 50:115] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95


def test_what_the_crf_would_lose_stays_smooth_and_it_says_so() -> None:
    probability = np.zeros((8, 8), dtype=np.float32)
    probability[3, 3] = 1
    refined = crf(Image.new("RGB", (64, 48)), probability, Size(48, 64))
    assert refined.mask.any()
    assert refined.notes == (LOST,)
