"""The refiners `crf` and `crf-paper`: a dense CRF in numpy.

Krähenbühl and Koltun (2011): mean field over all pairs of pixels, whose messages are Gaussian
filters, one over positions and one over positions and colors. The second runs on the permutohedral
lattice (Adams et al. 2010); both are normalized symmetrically, as in pydensecrf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float32, Float64

from text4seg.core.geometry import resize_probability
from text4seg.core.types import Size
from text4seg.refine._field import outline_field
from text4seg.refine._permutohedral import Permutohedral
from text4seg.refine.interface import RefinedMask
from text4seg.refine.none import none
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from PIL.Image import Image

LOST_NOTE = "the CRF left no pixel: the mask is the smooth one"
_MOST_PIXELS = 512 * 512

Filter: TypeAlias = Callable[[Float64[np.ndarray, "h w"]], Float64[np.ndarray, "h w"]]


@dataclass(frozen=True, slots=True)
class CrfSettings:
    """Parameters of the CRF; lengths in pixels, colors from 0 to 255.

    Attributes:
        certainty: Largest unary log-odds, reached well inside and well outside the object.
        steepness: Log-odds for each unit of the field whose level one half is the outline; None
            for a jump at the borders of the cells.
        near: Standard deviation of the smoothness kernel over positions.
        near_weight: Weight of the smoothness kernel.
        far: Standard deviation of the appearance kernel over positions.
        color: Standard deviation of the appearance kernel over colors.
        far_weight: Weight of the appearance kernel.
        steps: Iterations of mean field.
    """

    certainty: float = 4.0
    steepness: float | None = 12.0
    near: float = 3.0
    near_weight: float = 3.0
    far: float = 50.0
    color: float = 13.0
    far_weight: float = 3.0
    steps: int = 5


PAPER = CrfSettings(certainty=float(np.log(0.9 / 0.1)), steepness=None, far_weight=10.0)
"""The settings of Text4Seg (appendix and code): labels right with p = 0.9, appearance weight 10."""


def crf(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> RefinedMask:
    """A dense CRF over colors and positions; no weights, about half a second an image.

    An image of more than 512 × 512 pixels is scaled down to that area for the mean field.

    Args:
        image: Upright RGB.
        probability: Of each cell, 0 to 1.
        size: The image's size.

    Returns:
        The mask; that of `smooth`, with a note, where the CRF would leave no pixel.
    """
    return _refine(image, probability, size, CrfSettings())


def crf_paper(
    image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size
) -> RefinedMask:
    """The CRF with the settings of the Text4Seg paper, for comparison; loses small objects.

    Args:
        image: Upright RGB.
        probability: Of each cell, 0 to 1.
        size: The image's size.

    Returns:
        The mask; that of `smooth`, with a note, where the CRF would leave no pixel.
    """
    return _refine(image, probability, size, PAPER)


def _refine(
    image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size, settings: CrfSettings
) -> RefinedMask:
    blocks = none(image, probability, size)
    if not (probability >= 0.5).any():
        return blocks
    scale = min(1.0, (_MOST_PIXELS / (size.height * size.width)) ** 0.5)
    small = Size(max(1, round(size.height * scale)), max(1, round(size.width * scale)))
    pixels = np.asarray(image.resize((small.width, small.height)), dtype=np.float64)
    inside = mean_field(pixels, log_odds(probability, small, settings), settings)
    mask = resize_probability(inside.astype(np.float32), size, "bilinear") >= 0.5
    if mask.any():
        return RefinedMask(np.asarray(mask))
    coarse = smooth(image, probability, size)
    return RefinedMask(coarse.mask, (*coarse.notes, LOST_NOTE))


def log_odds(
    probability: Float32[np.ndarray, "rows cols"], size: Size, settings: CrfSettings
) -> Float64[np.ndarray, "h w"]:
    """Compute the unary term from the cells alone.

    Args:
        probability: Of each cell, 0 to 1.
        size: The size of the result in pixels.
        settings: `certainty` and `steepness` are used.

    Returns:
        The log-odds of each pixel, positive inside.
    """
    top = settings.certainty
    if settings.steepness is None:
        cells = (probability >= 0.5).astype(np.float32)
        return np.where(resize_probability(cells, size, "nearest") >= 0.5, top, -top)
    ys, xs = ((np.arange(n) + 0.5) / n for n in (size.height, size.width))
    field = outline_field(probability).at(ys, xs)
    return np.asarray(np.clip(settings.steepness * (field - 0.5), -top, top))


def mean_field(
    pixels: Float64[np.ndarray, "h w 3"],
    unary: Float64[np.ndarray, "h w"],
    settings: CrfSettings,
) -> Float64[np.ndarray, "h w"]:
    """Run mean field for two labels.

    Args:
        pixels: RGB, 0 to 255.
        unary: Log-odds of each pixel.
        settings: Kernels and steps.

    Returns:
        The marginal probability of each pixel to be inside.
    """
    height, width = unary.shape
    ys, xs = np.mgrid[:height, :width]
    features = np.stack(
        [ys / settings.far, xs / settings.far, *np.moveaxis(pixels / settings.color, -1, 0)]
    )
    lattice = Permutohedral(features.reshape(5, -1).T)
    near = _normalized(lambda values: _blur(values, settings.near), (height, width))
    far = _normalized(
        lambda values: lattice.filter(values.reshape(-1)).reshape(height, width), (height, width)
    )
    inside = 1 / (1 + np.exp(-unary))
    for _ in range(settings.steps):
        # Potts model with two labels: the messages differ only in sign, and the marginals add to 1.
        message = settings.near_weight * near(2 * inside - 1)
        message += settings.far_weight * far(2 * inside - 1)
        inside = 1 / (1 + np.exp(-(unary + message)))
    return np.asarray(inside)


def _normalized(kernel: Filter, shape: tuple[int, int]) -> Filter:
    """Symmetric normalization: D^-1/2 K D^-1/2, with D the kernel applied to ones."""
    root = np.sqrt(kernel(np.ones(shape)) + 1e-20)

    def apply(values: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
        return np.asarray(kernel(values / root) / root)

    return apply


def _blur(values: Float64[np.ndarray, "h w"], deviation: float) -> Float64[np.ndarray, "h w"]:
    """A Gaussian filter over positions, zero beyond the borders, truncated at 4 deviations."""
    reach = int(4 * deviation + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=axis)
        values = windows @ taps
    return values
