"""Losses of nano's fusion, on cells.

Shapes: `q` questions, `n` cells, `b` images, `k` detected boxes. Logits are before the sigmoid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from text4seg.models.nano.spatial import cover_cells

if TYPE_CHECKING:
    from torch import Tensor

# Weights of cross-entropy and presence beside Dice's 1, and of a covered cell beside an empty one.
_ENTROPY_WEIGHT, _PRESENCE_WEIGHT = 4, 0.35
_COVERED_WEIGHT = 4
# A box belongs to the target that fills this share of it, and does not where it fills less than
# the second; what lies between is ambiguous and has no loss.
_FILLED, _NOT_FILLED = 0.4, 0.125
_BOX_WEIGHT = 2


def cell_weights(coverage: Tensor) -> Tensor:
    """Weights of cells in a loss, by coverage: 1 for empty cells, 5 for covered ones.

    Most cells of most names are empty; with equal weights nothing would be found.
    """
    return 1 + _COVERED_WEIGHT * coverage


def target_loss(logits: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy, soft Dice of the questions that have a target, and presence of the target.

    Cross-entropy alone gives up small things; Dice weighs every thing alike, whatever its size.

    Args:
        logits: Of each cell, `q n`.
        cells: 1 where the target is, else 0, `q n`.

    Returns:
        One number.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, cells)
    probability = logits.sigmoid()
    present = cells.amax(dim=1)
    # The ones keep the quotient defined, and smooth for targets of one cell.
    dice = 1 - (2 * (probability * cells).sum(1) + 1) / (probability.sum(1) + cells.sum(1) + 1)
    # A target is present as surely as its surest cell: this is what the threshold is applied to.
    presence = functional.binary_cross_entropy_with_logits(logits.amax(dim=1), present)
    return _ENTROPY_WEIGHT * entropy + (dice * present).mean() + _PRESENCE_WEIGHT * presence


def names_loss(logits: Tensor, coverage: Tensor, annotated: Tensor) -> Tensor:
    """Cross-entropy of every known name in every cell, only where that name was annotated.

    Args:
        logits: `b n names`.
        coverage: Share of each cell that the name covers, `b n names`.
        annotated: Which names were annotated in the image at all, `b names`.

    Returns:
        One number; 0 where nothing was annotated.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, coverage, reduction="none")
    weight = annotated[:, None, :] * cell_weights(coverage)
    return (entropy * weight).sum() / (annotated.sum() * logits.shape[1]).clamp_min(1)


def box_loss(logits: Tensor, objects: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy of which detected boxes the question refers to.

    Args:
        logits: Of each box, `q k`.
        objects: Boxes as (class, score, x0, y0, x1, y1), `q k 6`; score 0 marks an empty row.
        cells: 1 where the target is, else 0, `q n`.

    Returns:
        One number; 0 where every box is ambiguous.
    """
    cover = cover_cells(objects[..., 2:], round(cells.shape[1] ** 0.5))
    filled = (cover @ cells[..., None])[..., 0] / cover.sum(-1).clamp_min(1e-3)
    clear = ((filled >= _FILLED) | (filled < _NOT_FILLED)) & (objects[..., 1] > 0)
    wanted = (filled >= _FILLED).to(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    weight = clear * (1 + _BOX_WEIGHT * wanted)
    return (entropy * weight).sum() / weight.sum().clamp_min(1)
