"""A dense CRF in numpy: no weights, a second or so an image.

Krähenbühl and Koltun (2011): mean field over all pairs of pixels, whose messages are Gaussian
filters – one over places, one over places and colors. The second runs on the permutohedral lattice
(Adams et al. 2010); both are normalised symmetrically, as in the usual implementation.
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
from text4seg.refine._protocol import Refined
from text4seg.refine.none import none
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from PIL.Image import Image

LOST = "the CRF left no pixel: the mask is the smooth one"
_MOST_PIXELS = 512 * 512

Filter: TypeAlias = Callable[[Float64[np.ndarray, "h w"]], Float64[np.ndarray, "h w"]]


@dataclass(frozen=True, slots=True)
class CrfSettings:
    """Lengths in pixels, colors from 0 to 255.

    Attributes:
        certainty: Log odds of a pixel well inside what the cells say.
        steepness: How fast they fall towards the outline: log odds for each unit of the field whose
            level one half is the outline, None for a jump at the borders of the cells.
        near: Deviation of the smoothness kernel, and its weight.
        near_weight: How much differing from near pixels costs.
        far: Deviation of the appearance kernel over places.
        color: Its deviation over colors.
        far_weight: How much differing from pixels of like color costs.
        steps: Of mean field.
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
"""Text4Seg's own (appendix and code): labels right with probability 0.9, appearance weighs 10."""


def crf(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """Mean field from the cells; a large image is looked at in 512 × 512 pixels' worth.

    An answer that the CRF would lose stays smooth, and the notes say so.
    """
    return _refine(image, probability, size, CrfSettings())


def crf_paper(image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size) -> Refined:
    """The same with the settings of Text4Seg, to compare with: it loses small objects."""
    return _refine(image, probability, size, PAPER)


def _refine(
    image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size, settings: CrfSettings
) -> Refined:
    blocks = none(image, probability, size)
    if not (probability >= 0.5).any():
        return blocks
    scale = min(1.0, (_MOST_PIXELS / (size.height * size.width)) ** 0.5)
    small = Size(max(1, round(size.height * scale)), max(1, round(size.width * scale)))
    pixels = np.asarray(image.resize((small.width, small.height)), dtype=np.float64)
    inside = mean_field(pixels, log_odds(probability, small, settings), settings)
    mask = resize_probability(inside.astype(np.float32), size, "bilinear") >= 0.5
    if mask.any():
        return Refined(np.asarray(mask))
    coarse = smooth(image, probability, size)
    return Refined(coarse.mask, (*coarse.notes, LOST))


def log_odds(
    probability: Float32[np.ndarray, "rows cols"], size: Size, settings: CrfSettings
) -> Float64[np.ndarray, "h w"]:
    """What the cells say of each pixel, before the image is looked at."""
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
    """The marginal probability of each pixel, from its log odds.

    There are two labels, of which one is enough to know.
    """
    height, width = unary.shape
    ys, xs = np.mgrid[:height, :width]
    features = np.stack(
        [ys / settings.far, xs / settings.far, *np.moveaxis(pixels / settings.color, -1, 0)]
    )
    lattice = Permutohedral(features.reshape(5, -1).T)
    near = _normalised(lambda values: _blur(values, settings.near), (height, width))
    far = _normalised(
        lambda values: lattice.filter(values.reshape(-1)).reshape(height, width), (height, width)
    )
    inside = 1 / (1 + np.exp(-unary))
    for _ in range(settings.steps):
        # Potts: what a label wins is what the other one loses, and the two add up to 1 before.
        message = settings.near_weight * near(2 * inside - 1)
        message += settings.far_weight * far(2 * inside - 1)
        inside = 1 / (1 + np.exp(-(unary + message)))
    return np.asarray(inside)


def _normalised(kernel: Filter, shape: tuple[int, int]) -> Filter:
    """The kernel between the inverse roots of what it makes of ones."""
    root = np.sqrt(kernel(np.ones(shape)) + 1e-20)

    def apply(values: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
        return np.asarray(kernel(values / root) / root)

    return apply


def _blur(values: Float64[np.ndarray, "h w"], deviation: float) -> Float64[np.ndarray, "h w"]:
    """A Gaussian filter over places, nothing beyond the borders; exact but for its far tails."""
    reach = int(4 * deviation + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=axis)
        values = windows @ taps
    return values
