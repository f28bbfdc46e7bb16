"""Figures of referring segmentation: one expression, one mask (RES, gRefCOCO's GRES).

Every figure takes samples one after the other, as pairs of masks (predicted, target) or as the
`Overlap` counted from them, which is small enough to keep. `empty_below` is the number of pixels
below which a prediction counts as empty: 1 is what the words say, 50 is what gRefCOCO's own
evaluation does.

Each is a sum over samples divided by another, Σa / Σb, and `FIGURES` has each sample's a and b:
so that results of several processes can be put together and resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from text4seg.metrics.overlaps import Overlap, Pair, overlap

GREFCOCO_EMPTY_BELOW = 50
"""Pixels below which gRefCOCO's evaluation calls a prediction empty."""

PRECISION_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""The X of Pr@X that papers report."""

Figure: TypeAlias = Callable[[Overlap], tuple[float, float]]
"""A sample's part of the numerator and of the denominator."""


def _precision(threshold: float) -> Figure:
    return lambda sample: (float(sample.iou >= threshold), 1.0)


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "ciou": lambda sample: (float(sample.both), float(sample.union)),
        "giou": lambda sample: (sample.iou, 1.0),
        "n_acc": lambda sample: (
            float(sample.predicted == 0 and sample.target == 0),
            float(sample.target == 0),
        ),
        "t_acc": lambda sample: (
            float(sample.predicted > 0 and sample.target > 0),
            float(sample.target > 0),
        ),
    }
    | {f"precision_at_{threshold:g}": _precision(threshold) for threshold in PRECISION_THRESHOLDS}
)
"""Figures of referring segmentation by name."""


def ratio(pairs: Iterable[Pair], figure: Figure, *, empty_below: int = 1) -> float:
    """Compute a figure over all samples: Σa / Σb.

    Args:
        pairs: (predicted, target) masks, or the `Overlap` counted from each pair.
        figure: One of `FIGURES`.
        empty_below: A prediction of fewer pixels counts as empty.

    Returns:
        The figure; nan where the denominators sum to 0.
    """
    above = below = 0.0
    for pair in pairs:
        sample = pair if isinstance(pair, Overlap) else overlap(*pair)
        more = figure(sample.emptied(empty_below))
        above, below = above + more[0], below + more[1]
    return above / below if below else float("nan")


def mean_iou(pairs: Iterable[Pair]) -> float:
    """MIoU = 1/n Σ |P ∩ T| / |P ∪ T|: the mean over samples of their IoU.

    Args:
        pairs: (predicted, target) masks, or the `Overlap` counted from each pair.

    Returns:
        A share from 0 to 1, or nan over no samples; two empty masks count 1.
    """
    return ratio(pairs, FIGURES["giou"])


def ciou(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """Cumulative IoU, Σ |P ∩ T| / Σ |P ∪ T|, so large objects weigh more.

    Also called overall IoU (oIoU); the figure of RefCOCO's tables since Hu et al. (ECCV 2016).

    Args:
        pairs: (predicted, target) masks, or the `Overlap` counted from each pair.
        empty_below: A prediction of fewer pixels counts as empty.

    Returns:
        A share from 0 to 1, or nan where all unions are empty.
    """
    return ratio(pairs, FIGURES["ciou"], empty_below=empty_below)


def giou(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """Generalized IoU: the mean over samples of their IoU, where an absent target scores 1 if
    nothing was predicted and 0 otherwise (Liu, Ding and Jiang, GRES, CVPR 2023, §5.1).

    Args:
        pairs: (predicted, target) masks, or the `Overlap` counted from each pair.
        empty_below: A prediction of fewer pixels counts as empty.

    Returns:
        A share from 0 to 1, or nan over no samples.
    """
    return ratio(pairs, FIGURES["giou"], empty_below=empty_below)


def n_acc(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """N-acc = TP / (TP + FN) of empty answers: the share of absent targets answered empty.

    GRES, CVPR 2023, §5.1. A model that always answers empty gets it right: read it beside `t_acc`.

    Args:
        pairs: (predicted, target) masks, or the `Overlap` counted from each pair.
        empty_below: A prediction of fewer pixels counts as empty.

    Returns:
        A share from 0 to 1, or nan where no target is absent.
    """
    return ratio(pairs, FIGURES["n_acc"], empty_below=empty_below)


def t_acc(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """T-acc: the share of present targets that were not answered empty (GRES, CVPR 2023, §5.1).

    Args:
        pairs: (predicted, target) masks, or the `Overlap` counted from each pair.
        empty_below: A prediction of fewer pixels counts as empty.

    Returns:
        A share from 0 to 1, or nan where no target is present.
    """
    return ratio(pairs, FIGURES["t_acc"], empty_below=empty_below)


def precision_at(pairs: Iterable[Pair], threshold: float) -> float:
    """Pr@X: the share of samples whose IoU is at least X.

    Args:
        pairs: (predicted, target) masks, or the `Overlap` counted from each pair.
        threshold: X, from 0 to 1.

    Returns:
        A share from 0 to 1, or nan over no samples.
    """
    return ratio(pairs, _precision(threshold))
