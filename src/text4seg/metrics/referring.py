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
    """The figure over all samples: the sum of numerators over that of denominators."""
    above = below = 0.0
    for pair in pairs:
        sample = pair if isinstance(pair, Overlap) else overlap(*pair)
        more = figure(sample.emptied(empty_below))
        above, below = above + more[0], below + more[1]
    return above / below if below else float("nan")


def mean_iou(pairs: Iterable[Pair]) -> float:
    """MIoU = 1/n Σ |P ∩ T| / |P ∪ T|: the mean over samples of their IoU; two empty masks agree."""
    return ratio(pairs, FIGURES["giou"])


def ciou(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """Cumulative IoU, Σ |P ∩ T| / Σ |P ∪ T|, so large objects weigh more.

    Also called overall IoU (oIoU); the figure of RefCOCO's tables since Hu et al. (ECCV 2016).
    """
    return ratio(pairs, FIGURES["ciou"], empty_below=empty_below)


def giou(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """Generalised IoU: the mean over samples of their IoU, where an absent target scores 1 if
    nothing was predicted and 0 otherwise (Liu, Ding and Jiang, GRES, CVPR 2023, §5.1).
    """
    return ratio(pairs, FIGURES["giou"], empty_below=empty_below)


def n_acc(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """The share of samples without a target that were answered empty (GRES, §5.1).

    A blind model gets it right: read it beside `t_acc`.
    """
    return ratio(pairs, FIGURES["n_acc"], empty_below=empty_below)


def t_acc(pairs: Iterable[Pair], *, empty_below: int = 1) -> float:
    """The share of samples with a target that were not answered empty (GRES, §5.1)."""
    return ratio(pairs, FIGURES["t_acc"], empty_below=empty_below)


def precision_at(pairs: Iterable[Pair], threshold: float) -> float:
    """Pr@X: the share of samples whose IoU is at least `threshold`."""
    return ratio(pairs, _precision(threshold))
