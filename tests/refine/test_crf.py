"""The dense CRF against a plain twin that visits every pair of pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text4seg.core.geometry import mask_to_coverage
from text4seg.core.types import GridShape, Size
from text4seg.metrics import iou
from text4seg.refine import crf, none
from text4seg.refine.crf import LOST_NOTE, PAPER, CrfSettings, crf_paper, log_odds, mean_field

IMAGES = Path(__file__).parents[2] / "examples" / "photos"


def plain_mean_field(pixels: np.ndarray, unary: np.ndarray, settings: CrfSettings) -> np.ndarray:
    """Both kernels as matrices over all pairs."""
    height, width = unary.shape
    ys, xs = np.mgrid[:height, :width]
    places, colors = np.stack([ys.ravel(), xs.ravel()], 1).astype(float), pixels.reshape(-1, 3)
    apart = ((places[:, None] - places[None]) ** 2).sum(-1)
    unlike = ((colors[:, None] - colors[None]) ** 2).sum(-1)
    near = np.exp(-apart / 2 / settings.near**2)
    far = np.exp(-apart / 2 / settings.far**2 - unlike / 2 / settings.color**2)
    for matrix in (near, far):
        root = np.sqrt(matrix.sum(1))
        np.divide(matrix, root[:, None] * root[None], out=matrix)
    inside = 1 / (1 + np.exp(-unary.ravel()))
    for _ in range(settings.steps):
        message = settings.near_weight * near + settings.far_weight * far
        logits = unary.ravel() + message @ (2 * inside - 1)
        inside = 1 / (1 + np.exp(-logits))
    return inside.reshape(height, width)


# Marginals differ on average by this, and masks agree on this share of the pixels: the more the
# image weighs, the more the lattice's roughness shows. (Measured: .0017 and .9988, .026 and .973.)
TOLERANCES = [
    pytest.param(CrfSettings(), 0.003, 0.998, id="default"),
    pytest.param(PAPER, 0.03, 0.97, id="paper"),
]


@pytest.mark.parametrize(("settings", "marginals", "pixels_alike"), TOLERANCES)
@pytest.mark.parametrize("image", ["cat.jpg", "coffee.jpg", "astronaut.jpg"])
def test_the_lattice_agrees_with_every_pair(
    image: str, settings: CrfSettings, marginals: float, pixels_alike: float
) -> None:
    small = Image.open(IMAGES / image).convert("RGB").resize((48, 36))
    pixels = np.asarray(small, dtype=np.float64)
    probability = np.zeros((6, 8), dtype=np.float32)
    probability[1:5, 2:7] = 1
    unary = log_odds(probability, Size(36, 48), settings)
    fast, plain = (f(pixels, unary, settings) for f in (mean_field, plain_mean_field))
    assert np.abs(fast - plain).mean() < marginals
    assert ((fast >= 0.5) == (plain >= 0.5)).mean() > pixels_alike
    assert np.abs(plain - (unary > 0)).mean() > 0.02, "the CRF has changed something"


def test_the_papers_settings_lose_small_objects_pair_by_pair_too() -> None:
    pixels = np.asarray(Image.open(IMAGES / "cat.jpg").convert("RGB").resize((48, 36)), dtype=float)
    probability = np.zeros((12, 12), dtype=np.float32)
    probability[5:7, 5:7] = 1
    scaled = {"near": 3 * 48 / 512, "far": 50 * 48 / 512}  # as of an image of 512 pixels
    kept = []
    for settings in (replace(PAPER, **scaled), CrfSettings(**scaled)):
        unary = log_odds(probability, Size(36, 48), settings)
        kept.append((plain_mean_field(pixels, unary, settings) >= 0.5).sum() / (unary >= 0).sum())
    assert kept[0] < 0.5
    assert kept[1] > 0.6


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_outline_moves_to_the_edge_in_the_image(kind: str) -> None:
    image = Image.new("RGB", (160, 120), (20, 60, 160))
    image.paste((220, 200, 40), (47, 33, 117, 97))  # its edges within cells of ten pixels
    truth = np.zeros((120, 160), dtype=bool)
    truth[33:97, 47:117] = True
    probability = mask_to_coverage(truth, GridShape(12, 16))
    if kind == "hard":
        probability = (probability >= 0.5).astype(np.float32)
    size = Size(120, 160)
    blocks = iou(none(image, probability, size).mask, truth)
    assert blocks < 0.88
    assert iou(crf(image, probability, size).mask, truth) > blocks + 0.05


def test_the_papers_crf_moves_it_by_a_whole_cell() -> None:
    image = Image.new("RGB", (160, 120), (20, 60, 160))
    image.paste((220, 200, 40), (50, 30, 115, 95))
    probability = np.zeros((12, 16), dtype=np.float32)
    probability[4:9, 6:11] = 1  # a cell too small on every side
    truth = np.zeros((120, 160), dtype=bool)
    truth[30:95, 50:115] = True
    assert iou(crf_paper(image, probability, Size(120, 160)).mask, truth) > 0.95


def test_what_the_crf_would_lose_stays_smooth_and_it_says_so() -> None:
    probability = np.zeros((8, 8), dtype=np.float32)
    probability[3, 3] = 1
    refined = crf(Image.new("RGB", (64, 48)), probability, Size(48, 64))
    assert refined.mask.any()
    assert refined.notes == (LOST_NOTE,)
