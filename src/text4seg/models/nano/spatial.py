"""Spatial reasoning: which of several things is meant, by color, position, size or relation.

The detector's boxes stand for single things. For each box that may be what a question names, the
number of other candidates further left, right, up or down, bigger or smaller is counted, as is its
direction from the landmark that the question relates it to. `the second dog from the left` is so
looked up instead of learned. Fixed, differentiable rules match the question's attributes; the
fusion is given their result and what a layer of its own makes of the boxes.

Shapes: `q` questions, `k` boxes, `n` cells of a square map, `t` tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from text4seg.models.nano.layers import Layer

if TYPE_CHECKING:
    from text4seg.models.nano.config import NanoConfig
    from text4seg.models.nano.text.attributes import AttributeTensors

_HIDDEN_FEATURES = 64
_CHANNELS = 21
_BOX_FEATURES = 26
# In shares of the image: softness of the comparison of two boxes, of `left of`, radius of `near`.
_APART, _BESIDE, _NEAR = 0.02, 0.05, 0.3
# Unit vectors (x, y) of the first four relations.
_DIRECTIONS = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class SpatialEvidence:
    """Where the things that questions ask for may be, and where their landmarks are.

    Attributes:
        cells: Evidence in each cell, `q n`, 0 to 1.
        classes: How far each of the detector's classes is what is asked for, `q 80`, 0 to 1.
        landmark_cells: As `cells`, of the landmark; zeros where a question has none.
        landmark_classes: As `classes`, of the landmark.
    """

    cells: Tensor
    classes: Tensor
    landmark_cells: Tensor
    landmark_classes: Tensor


class BoxMatch(NamedTuple):
    """How far each box of a question's image matches its attributes.

    Attributes:
        features: All of it as input of the learned layer, `q k 26`.
        cover: Share of each cell under each box, `q k n`.
        sure: How certain a detection is, `q k`, 0 for rows that fill up.
        weight: How likely a box is one of the asked things, `q k`.
        agrees: How far its position or size has the asked rank, `q k`; 1 where none is asked.
        beside: How far it is in the asked relation to the landmark, `q k`; 1 where none is asked.
        best: Product of the last three, scaled to the best box, `q k`.
        color_there: Share of the asked color in each cell, `q n`.
        spot: Center of the landmark, (x, y) in shares of the image, `q 2`.
        there: How surely the landmark is found, `q`.
    """

    features: Tensor
    cover: Tensor
    sure: Tensor
    weight: Tensor
    agrees: Tensor
    beside: Tensor
    best: Tensor
    color_there: Tensor
    spot: Tensor
    there: Tensor


class SpatialReasoner(nn.Module):
    """Boxes, colors and the attributes of a question → an addition to each cell's state."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        narrow = config.fusion_width
        self.cells = config.cells
        # Learned: from which detector score on a box counts, and how sharply.
        self.threshold = nn.Parameter(torch.tensor(0.4))
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.box = nn.Linear(_BOX_FEATURES, narrow)
        self.layer = Layer(narrow, config.heads, reads=True, expansion=2)
        self.norm = nn.LayerNorm(narrow)
        self.chosen = nn.Linear(narrow, 1)
        self.paint = nn.Linear(narrow, narrow)
        self.channels = nn.Sequential(
            nn.Linear(_CHANNELS, _HIDDEN_FEATURES),
            nn.GELU(),
            nn.Linear(_HIDDEN_FEATURES, narrow),
        )
        # Zero, so that weights from before this module answer as they did until it is trained.
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
        """Reason about the boxes of each question's image.

        Args:
            objects: Boxes (class, score, x0, y0, x1, y1 in shares of the image), `q k 6`.
            colors: Share of each color in each cell, `q n 12`.
            evidence: Where the things may be, before any attribute is considered.
            attributes: What the questions say of them.
            query: The questions' states, `q t narrow`.
            mask: `q t`, true where the query has a token.

        Returns:
            What to add to the cell states, `q n narrow`, and the logits that a box is meant, `q k`.
        """
        boxes = self._match_boxes(objects, colors, evidence, attributes)
        # Boxes attend to each other and read the question; uncertain ones are masked out.
        state = self.norm(self.layer(self.box(boxes.features), boxes.sure > 0, query, mask))
        logits = self.chosen(state)[..., 0]
        # Each cell gets the mean state of the boxes over it, by how likely they are the thing.
        cover, weight = boxes.cover, boxes.weight
        painted = (cover * weight[..., None]).transpose(1, 2) @ self.paint(state)
        painted = painted / (cover * weight[..., None]).sum(1).clamp_min(1.0)[..., None]
        # In float32: a sigmoid of half-precision logits loses small probabilities.
        chosen = torch.sigmoid(logits.float()).to(weight)
        channels = self._describe_cells(boxes, chosen, evidence, attributes)
        return painted + self.channels(channels.to(painted)), logits

    def _match_boxes(
        self,
        objects: Tensor,
        colors: Tensor,
        evidence: SpatialEvidence,
        attributes: AttributeTensors,
    ) -> BoxMatch:
        """Match every box with the attributes by fixed rules."""
        # How certain each detection is; rows of zeros fill up and stay at 0.
        sure = torch.sigmoid(self.sharpness * (objects[..., 1] - self.threshold))
        index = objects[..., 0].long()
        sure = sure * (objects[..., 1] > 0)
        # A box counts for a question as much as its class resembles the words.
        weight = sure * evidence.classes.gather(1, index)
        landmark = sure * evidence.landmark_classes.gather(1, index)
        box = objects[..., 2:]
        cover = cover_cells(box, self.cells)
        color_there = (colors @ attributes.colors[..., None])[..., 0]
        of_box = (cover @ color_there[..., None])[..., 0] / cover.sum(-1).clamp_min(0.1)
        counts = count_beyond(box, weight)
        asked = (counts * attributes.sides[:, None]).sum(-1)
        placed = attributes.sides.sum(-1)[:, None]
        # `the second from the left` has one thing further left: the count must equal the rank.
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
        return BoxMatch(
            features, cover, sure, weight, agrees, beside, best, color_there, spot, there
        )

    def _describe_cells(
        self,
        boxes: BoxMatch,
        chosen: Tensor,
        evidence: SpatialEvidence,
        attributes: AttributeTensors,
    ) -> Tensor:
        """What the rules say of each cell, `q n 21`; `chosen q k` is how likely a box is meant."""
        weight, agrees, beside, there = boxes.weight, boxes.agrees, boxes.beside, boxes.there

        def spread(value: Tensor) -> Tensor:
            """The largest value of the boxes over each cell."""
            return (boxes.cover * value[..., None]).amax(1)

        # Everything as `q n`: one value for each cell of each question.
        cells, color_there = evidence.cells, boxes.color_there
        # Squares weigh certain cells more than many uncertain ones.
        share = (cells.square() * color_there).sum(-1) / cells.square().sum(-1).clamp_min(0.05)
        placed = attributes.sides.sum(-1)[:, None]
        related = attributes.relations.sum(-1)[:, None]
        flag = attributes.colors.sum(-1)[:, None]
        # Where the landmark has no box, its cells still say where it is.
        of_cells = relate(_grid(self.cells).to(boxes.features), boxes.spot, attributes.relations)
        one = torch.ones_like(cells)
        # Flags tell "not asked" from "asked and not so": both would be a zero otherwise.
        channels = [
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
            spread(boxes.best),
            spread(weight * chosen),
            spread(weight * (1 - chosen)),
            one * torch.tanh(weight.sum(-1, keepdim=True) / 4),
            one * (weight * agrees * beside).amax(-1, keepdim=True),
        ]
        return torch.stack(channels, dim=-1)


def cover_cells(box: Tensor, cells: int) -> Tensor:
    """Rasterise boxes.

    Args:
        box: Corners x0, y0, x1, y1 in shares of the image, `q k 4`.
        cells: Side of the map.

    Returns:
        Share of each cell that is under the box, `q k n`, n = cells².
    """
    # The overlap of two intervals in units of cells, for each axis by itself.
    start = torch.arange(cells, device=box.device, dtype=box.dtype)
    box = box[..., None] * cells

    def along(low: Tensor, high: Tensor) -> Tensor:
        """Share of each cell of one axis between two coordinates."""
        return (torch.minimum(start + 1, high) - torch.maximum(start, low)).clamp(0.0, 1.0)

    columns = along(box[:, :, 0], box[:, :, 2])
    rows = along(box[:, :, 1], box[:, :, 3])
    return (rows[..., :, None] * columns[..., None, :]).flatten(2)


def count_beyond(box: Tensor, weight: Tensor) -> Tensor:
    """Count the other things further left, right, up or down, and those bigger or smaller.

    Args:
        box: Corners in shares of the image, `q k 4`.
        weight: How much each box counts, `q k`: how likely it is one of the things.

    Returns:
        Soft counts, `q k 6`, in the order of `attributes.SIDES`; nearly level boxes count half.
    """
    center = _centers(box)
    size = (box[..., 2:] - box[..., :2]).clamp_min(1e-3).prod(-1, keepdim=True).log() * 0.1
    # Sizes are compared as logarithms: a thing twice as large is bigger at any size.
    along = torch.cat([-center, -center, size], -1)
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]).to(box)
    along = along[..., [0, 0, 1, 1, 4, 4]] * sign
    beyond = torch.sigmoid((along[:, None] - along[:, :, None]) / _APART)
    # A box is never beyond itself.
    others = 1 - torch.eye(box.shape[1]).to(box)
    return (beyond * (weight[:, None] * others)[..., None]).sum(2)


def center_of(cells: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Center of mass of evidence.

    Args:
        cells: Evidence, `q n`, 0 to 1.
        side: Side of the map.

    Returns:
        (x, y) in shares of the image, `q 2`, and the strongest evidence, `q`.
    """
    weight = cells.square()
    where = weight @ _grid(side)[0].to(cells) / weight.sum(-1, keepdim=True).clamp_min(1e-4)
    return where, cells.amax(-1)


def relate(points: Tensor, landmark: Tensor, relations: Tensor) -> Tensor:
    """How far points are in the asked relation to a landmark.

    Args:
        points: (x, y) in shares of the image, `q k 2`.
        landmark: (x, y), `q 2`.
        relations: One-hot, in the order of `attributes.RELATIONS`, `q 5`.

    Returns:
        `q k`, 0 to 1.
    """
    away = points - landmark[:, None]
    # The offset along each of the four directions; nearness is the fifth relation.
    steps = away @ torch.tensor(_DIRECTIONS).to(away).T
    sides = torch.sigmoid((steps - _BESIDE) / _BESIDE)
    near = torch.sigmoid((_NEAR - away.norm(dim=-1, keepdim=True)) / _BESIDE)
    return (torch.cat([sides, near], -1) * relations[:, None]).sum(-1)


def _centers(box: Tensor) -> Tensor:
    """Corners `… 4` → centers `… 2`."""
    return (box[..., :2] + box[..., 2:]) / 2


def _grid(side: int) -> Tensor:
    """Centers of the cells, `1 n 2` (x, y)."""
    # In shares of the image, as the corners of boxes are.
    middle = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack([columns, rows], -1).flatten(0, 1)[None]
