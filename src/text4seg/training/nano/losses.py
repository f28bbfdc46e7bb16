"""Losses of nano's fusion on cells."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def target_loss(logits: Tensor, cells: Tensor) -> Tensor:
    """`q n` logits against `q n` cells: cross-entropy, soft Dice where there is a target, presence.

    Cross-entropy alone gives up small things; Dice weighs every thing alike, whatever its size.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, cells)
    probability = logits.sigmoid()
    present = cells.amax(dim=1)
    dice = 1 - (2 * (probability * cells).sum(1) + 1) / (probability.sum(1) + cells.sum(1) + 1)
    presence = functional.binary_cross_entropy_with_logits(logits.amax(dim=1), present)
    return 4 * entropy + (dice * present).mean() + 0.35 * presence


def names_loss(logits: Tensor, coverage: Tensor, annotated: Tensor) -> Tensor:
    """`b n names` logits against coverage, only where names were annotated (`b names`)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, coverage, reduction="none")
    weight = annotated[:, None, :] * (1 + 4 * coverage)
    return (entropy * weight).sum() / (annotated.sum() * logits.shape[1]).clamp_min(1)
