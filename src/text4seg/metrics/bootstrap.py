"""How sure a figure is: bootstrap intervals over images, and paired comparison of two models.

Questions about one image are not independent, so whole images are drawn, not questions. Every
figure here is a ratio of sums, Σa / Σb, over samples (see `referring.FIGURES`): a draw weighs the
sums of its images. Draws are seeded, so results are the same each time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from text4seg.core.errors import InputError

DRAWS = 2000
SEED = 20410
_CHUNK = 4_000_000  # numbers drawn at once


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; nan over no samples.

    Attributes:
        value: The figure.
        low: The 2.5th percentile of the draws.
        high: The 97.5th percentile.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher the second of two models scores on the same samples.

    Attributes:
        first: The figure of the first.
        second: The figure of the second.
        difference: Second less first, with its interval.
        p: How often chance alone, swapping the two models' answers image by image, makes a
            difference at least as large either way.
    """

    first: float
    second: float
    difference: Interval
    p: float


def ratio_intervals(
    parts: Float64[np.ndarray, "n figures 2"],
    images: Sequence[Hashable],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[Interval]:
    """Σa / Σb over samples, for several figures, with 95 % percentile bootstrap intervals.

    Images are drawn with all their samples, and all figures are taken of the same draws. Efron
    and Tibshirani, An Introduction to the Bootstrap, 1993, §13.3.

    Args:
        parts: a and b of each sample for each figure.
        images: The image of each sample.
        draws: How many resamples.
        seed: What the draws are made from.

    Returns:
        An interval for each figure.

    Raises:
        InputError: The numbers of samples and images differ.
    """
    sums = _by_image(parts, images)
    values = _ratios(sums.sum(axis=0))
    drawn = np.concatenate(
        [_ratios(np.tensordot(weights, sums, 1)) for weights in _weights(len(sums), draws, seed)]
    )
    return [
        Interval(float(value), *_percentiles(column))
        for value, column in zip(values, drawn.T, strict=True)
    ]


def ratio_interval(
    parts: Float64[np.ndarray, "n 2"],
    images: Sequence[Hashable],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Interval:
    """Compute `ratio_intervals` of one figure.

    Args:
        parts: a and b of each sample.
        images: The image of each sample.
        draws: How many resamples.
        seed: What the draws are made from.

    Returns:
        The interval.

    Raises:
        InputError: The numbers of samples and images differ.
    """
    return ratio_intervals(parts[:, None], images, draws=draws, seed=seed)[0]


def compare_ratios(
    first: Float64[np.ndarray, "n 2"],
    second: Float64[np.ndarray, "n 2"],
    images: Sequence[Hashable],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Difference:
    """Two models on the same samples, in the same order: a paired comparison.

    The interval is a bootstrap over images, both models drawn together; `p` is that of a
    randomization test (Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989), with
    one added to both counts, so never 0.

    Args:
        first: a and b of each sample for the first model.
        second: The same for the second.
        images: The image of each sample.
        draws: How many resamples, and how many random swaps.
        seed: What both are made from.

    Returns:
        Both figures, their difference with its interval, and p.

    Raises:
        InputError: The numbers of samples differ.
    """
    if first.shape != second.shape or len(images) != len(first):
        raise InputError(f"{len(first)} and {len(second)} samples cannot be compared in pairs")
    ours, theirs = _by_image(first, images), _by_image(second, images)
    values = _ratios(ours.sum(axis=0)), _ratios(theirs.sum(axis=0))
    observed = float(values[1] - values[0])
    differences = np.concatenate(
        [
            _ratios(np.tensordot(weights, theirs, 1)) - _ratios(np.tensordot(weights, ours, 1))
            for weights in _weights(len(ours), draws, seed)
        ]
    )
    swapped = np.concatenate(list(_swaps(ours, theirs, draws, seed)))
    extreme = int((np.abs(swapped) >= abs(observed) - 1e-12).sum())
    p = (extreme + 1) / (draws + 1) if np.isfinite(observed) else float("nan")
    interval = Interval(observed, *_percentiles(differences))
    return Difference(float(values[0]), float(values[1]), interval, p)


def _by_image(
    parts: Float64[np.ndarray, "n *figures 2"], images: Sequence[Hashable]
) -> Float64[np.ndarray, "images *figures 2"]:
    if len(images) != len(parts):
        raise InputError(f"{len(parts)} samples have {len(images)} images named")
    index: dict[Hashable, int] = {}
    places = np.array([index.setdefault(image, len(index)) for image in images], dtype=np.intp)
    sums = np.zeros((len(index), *parts.shape[1:]))
    np.add.at(sums, places, parts)
    return sums


def _weights(images: int, draws: int, seed: int) -> Iterator[Float64[np.ndarray, "draws images"]]:
    """How often each image is drawn, in portions that fit in memory."""
    random = np.random.default_rng(seed)
    for count in _portions(images, draws):
        drawn = random.integers(0, max(images, 1), size=(count, images))
        rows = np.arange(count)[:, None] * images
        counts = np.bincount((drawn + rows).ravel(), minlength=count * images)
        yield counts.reshape(count, images).astype(np.float64)


def _swaps(
    first: Float64[np.ndarray, "images 2"],
    second: Float64[np.ndarray, "images 2"],
    draws: int,
    seed: int,
) -> Iterator[Float64[np.ndarray, " draws"]]:
    """The difference after the two models' answers to each image were swapped, or not."""
    random = np.random.default_rng(seed + 1)
    for count in _portions(len(first), draws):
        kept = random.integers(0, 2, size=(count, len(first))).astype(np.float64)
        ours = kept @ first + (1 - kept) @ second
        theirs = kept @ second + (1 - kept) @ first
        yield _ratios(theirs) - _ratios(ours)


def _portions(images: int, draws: int) -> Iterator[int]:
    most = max(1, _CHUNK // max(images, 1))
    for done in range(0, draws, most):
        yield min(most, draws - done)


def _ratios(sums: Float64[np.ndarray, "*n 2"]) -> Float64[np.ndarray, "*n"]:
    above, below = sums[..., 0], sums[..., 1]
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan))


def _percentiles(values: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
