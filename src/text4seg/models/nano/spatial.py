"""Which of several things is meant: colors, places, sizes and relations, looked up in the image.

The detector's boxes stand for things one by one. Of those that may be what a question names, each
is told how many stand further to the left, right, top and bottom, are bigger and smaller, and where
it is from the thing that the question relates it to; `the second dog from the left` is then looked
up rather than learned. What was asked is matched by simple sums, and the fusion is given both their
result and what a layer of its own makes of the boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from text4seg.models.nano.config import NanoConfig
    from text4seg.models.nano.text.attributes import AttributeTensors

_HIDDEN_FEATURES = 64
_CHANNELS = 21
_BOX_FEATURES = 26
# How far apart, in shares of the image, two things clearly are; softness of `left of`, of `near`.
_APART, _BESIDE, _NEAR = 0.02, 0.05, 0.3
# Unit vectors (x, y) of the first four relations.
_DIRECTIONS = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class SpatialEvidence:
    """Of questions `q`: what may be the thing, cell by cell (`cells q n`) and by the detector's
    classes (`classes q 80`); likewise of the landmark.
    """

    cells: Tensor
    classes: Tensor
    landmark_cells: Tensor
    landmark_classes: Tensor


class SpatialReasoner(nn.Module):
    def __init__(self, config: NanoConfig, layer: Callable[..., nn.Module]) -> None:
        super().__init__()
        narrow = config.fusion_width
        self.cells = config.cells
        self.threshold = nn.Parameter(torch.tensor(0.4))
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.box = nn.Linear(_BOX_FEATURES, narrow)
        self.layer = layer(narrow, config.heads, reads=True, expansion=2)
        self.norm = nn.LayerNorm(narrow)
        self.chosen = nn.Linear(narrow, 1)
        self.paint = nn.Linear(narrow, narrow)
        self.channels = nn.Sequential(
            nn.Linear(_CHANNELS, _HIDDEN_FEATURES),
            nn.GELU(),
            nn.Linear(_HIDDEN_FEATURES, narrow),
        )
        for last in (*self.paint.parameters(), *self.channels[-1].parameters()):
            nn.init.zeros_(last)

    def forward(
        self,
        objects: Tensor,
        colors: Tensor,
        evidence: SpatialEvidence,
        attributes: AttributeTensors,
        query: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Boxes `q k 6`, colors of the cells `q n 12` and the question's states `q t narrow`.

        Returns what the cells are given, `q n narrow`, and logits `q k` that a box is meant.
        """
        sure = torch.sigmoid(self.sharpness * (objects[..., 1] - self.threshold))
        index = objects[..., 0].long()
        sure = sure * (objects[..., 1] > 0)
        weight = sure * evidence.classes.gather(1, index)
        landmark = sure * evidence.landmark_classes.gather(1, index)
        box = objects[..., 2:]
        cover = cover_cells(box, self.cells)
        color_there = (colors @ attributes.colors[..., None])[..., 0]
        of_box = (cover @ color_there[..., None])[..., 0] / cover.sum(-1).clamp_min(0.1)
        counts = count_beyond(box, weight)
        asked = (counts * attributes.sides[:, None]).sum(-1)
        placed = attributes.sides.sum(-1)[:, None]
        agrees = torch.where(
            placed > 0, torch.exp(-1.5 * (asked - attributes.ranks[:, None]).abs()), 1.0
        )
        spot, there = center_of(evidence.landmark_cells, self.cells)
        related = attributes.relations.sum(-1)[:, None]
        beside = torch.where(related > 0, relate(_centers(box), spot, attributes.relations), 1.0)
        best = weight * agrees * beside
        best = best / best.amax(-1, keepdim=True).clamp_min(0.05)
        away = (_centers(box) - spot[:, None]) * related[..., None]
        features = torch.cat(
            [
                torch.stack([weight, landmark, sure, agrees * placed, beside * related], -1),
                torch.stack([best, of_box, placed.expand_as(best), related.expand_as(best)], -1),
                box,
                (box[..., 2:] - box[..., :2]),
                away,
                torch.exp(-counts),
                torch.tanh(weight.sum(-1, keepdim=True) / 4)[..., None].expand(-1, box.shape[1], 1),
                attributes.colors.sum(-1)[:, None, None].expand(-1, box.shape[1], 1),
                there[:, None, None].expand(-1, box.shape[1], 1),
            ],
            dim=-1,
        )
        state = self.norm(self.layer(self.box(features), sure > 0, query, mask))
        logits = self.chosen(state)[..., 0]
        painted = (cover * weight[..., None]).transpose(1, 2) @ self.paint(state)
        painted = painted / (cover * weight[..., None]).sum(1).clamp_min(1.0)[..., None]
        chosen = torch.sigmoid(logits.float()).to(weight)

        def spread(value: Tensor) -> Tensor:
            return (cover * value[..., None]).amax(1)

        cells = evidence.cells
        share = (cells.square() * color_there).sum(-1) / cells.square().sum(-1).clamp_min(0.05)
        flag = attributes.colors.sum(-1)[:, None]
        of_cells = relate(_grid(self.cells).to(box), spot, attributes.relations)
        one = torch.ones_like(cells)
        found = [
            cells,
            evidence.landmark_cells,
            one * there[:, None],
            one * related,
            of_cells * related,
            of_cells * related * cells,
            one * flag,
            color_there,
            color_there * cells,
            one * share[:, None] * flag,
            one * placed,
            spread(weight),
            spread(weight * agrees) * placed,
            spread(weight * (1 - agrees)) * placed,
            spread(weight * beside) * related,
            spread(weight * (1 - beside)) * related,
            spread(best),
            spread(weight * chosen),
            spread(weight * (1 - chosen)),
            one * torch.tanh(weight.sum(-1, keepdim=True) / 4),
            one * (weight * agrees * beside).amax(-1, keepdim=True),
        ]
        return painted + self.channels(torch.stack(found, dim=-1).to(painted)), logits


def cover_cells(box: Tensor, cells: int) -> Tensor:
    """`q k 4` in shares of the image → how much of each cell is under it, `q k n`."""
    start = torch.arange(cells, device=box.device, dtype=box.dtype)
    box = box[..., None] * cells

    def along(low: Tensor, high: Tensor) -> Tensor:
        return (torch.minimum(start + 1, high) - torch.maximum(start, low)).clamp(0.0, 1.0)

    columns = along(box[:, :, 0], box[:, :, 2])
    rows = along(box[:, :, 1], box[:, :, 3])
    return (rows[..., :, None] * columns[..., None, :]).flatten(2)


def count_beyond(box: Tensor, weight: Tensor) -> Tensor:
    """How many of the things stand further left, right, up, down, are bigger, smaller: `q k 6`.

    Each counts as much as it weighs (`q k`), and softly where two are nearly level.
    """
    center = _centers(box)
    size = (box[..., 2:] - box[..., :2]).clamp_min(1e-3).prod(-1, keepdim=True).log() * 0.1
    along = torch.cat([-center, -center, size], -1)
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]).to(box)
    along = along[..., [0, 0, 1, 1, 4, 4]] * sign
    beyond = torch.sigmoid((along[:, None] - along[:, :, None]) / _APART)
    others = 1 - torch.eye(box.shape[1]).to(box)
    return (beyond * (weight[:, None] * others)[..., None]).sum(2)


def center_of(cells: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where what `q n` tells of lies (x, y in shares of the image, `q 2`), and how surely, `q`."""
    weight = cells.square()
    where = weight @ _grid(side)[0].to(cells) / weight.sum(-1, keepdim=True).clamp_min(1e-4)
    return where, cells.amax(-1)


def relate(points: Tensor, landmark: Tensor, relations: Tensor) -> Tensor:
    """How far points `q k 2` are in the asked relation to `q 2`: 0 to 1."""
    away = points - landmark[:, None]
    steps = away @ torch.tensor(_DIRECTIONS).to(away).T
    sides = torch.sigmoid((steps - _BESIDE) / _BESIDE)
    near = torch.sigmoid((_NEAR - away.norm(dim=-1, keepdim=True)) / _BESIDE)
    return (torch.cat([sides, near], -1) * relations[:, None]).sum(-1)


def _centers(box: Tensor) -> Tensor:
    return (box[..., :2] + box[..., 2:]) / 2


def _grid(side: int) -> Tensor:
    """Centers of the cells, `1 n 2` (x, y)."""
    middle = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack([columns, rows], -1).flatten(0, 1)[None]
