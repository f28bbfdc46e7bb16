"""Losses of nano's fusion on cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from text4seg.models.nano.spatial import cover_cells

if TYPE_CHECKING:
    from torch import Tensor


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


def box_loss(logits: Tensor, objects: Tensor, cells: Tensor) -> Tensor:
    """`q k` logits that a box is meant; boxes `q k 6`, and the target's cells `q n` (0 or 1).

    A box is meant that the target fills to two fifths, and is not where it fills less than an
    eighth; what lies between is left open.
    """
    cover = cover_cells(objects[..., 2:], round(cells.shape[1] ** 0.5))
    filled = (cover @ cells[..., None])[..., 0] / cover.sum(-1).clamp_min(1e-3)
    clear = ((filled >= 0.4) | (filled < 0.125)) & (objects[..., 1] > 0)
    wanted = (filled >= 0.4).to(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    weight = clear * (1 + 2 * wanted)
    return (entropy * weight).sum() / weight.sum().clamp_min(1)
