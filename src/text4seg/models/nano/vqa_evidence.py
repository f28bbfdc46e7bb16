"""Evidence for answers in words: what the fusion finds of a thing, as one vector.

Where a mask's tokens are given the state of the cell that they write, the tokens of an answer in
words are given a summary of all cells: how surely and where the thing is found, its colors, and the
detector's boxes of its kind. `vqa_head` turns it into vectors for the tokens of the answer.

Shapes: `q` questions, `n` = 256 cells, `k` boxes, `b` images, `e` numbers of evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.spatial import cover_cells

if TYPE_CHECKING:
    from text4seg.models.nano.config import NanoConfig
    from text4seg.models.nano.fusion import Fusion, ImageState
    from text4seg.models.nano.matching import Phrases

_CELLS, _COLORS, _BOXES = 16, 12, 8
# Boxes are counted from several scores on: which one is right depends on the class.
_SCORES = (0.2, 0.3, 0.4, 0.5, 0.6)
# Counts are coded as nearness to 0, 1, 2, 3 and 4; beyond that the logarithm remains.
_COUNTS = 5
_STEEP = 30.0
# Target logits from which on connected cells are counted as patches.
_PATCHES = (0.0, 1.5)
_NUMBERS = (
    19 + 2 * _COLORS + (9 + 4) + len(_SCORES) * (1 + _COUNTS) + 3 * _BOXES + 9
    + len(_PATCHES) * (1 + _COUNTS)
)  # fmt: skip


def evidence_width(config: NanoConfig) -> int:
    """Length `e` of a vector of evidence: a summary state, then numbers."""
    return config.fusion_width + _NUMBERS


def name_features(image: ImageState, detected: Tensor) -> Tensor:
    """What speaks for the presence of each known name.

    Args:
        image: `b` images.
        detected: The detector's class of each name, -1 for none.

    Returns:
        `b names 5`: maximum, mean of the best eight cells and mean share of the fusion's own head,
        the detector's best box, and whether the detector has that class.
    """
    names = image.names.float()
    best = names.topk(8, dim=1).values.mean(dim=1)
    share = torch.logit(names.sigmoid().mean(dim=1).clamp(1e-4, 1 - 1e-4))
    knows = (detected >= 0).to(names)
    # The best detector score of each class; a class without a box stays at zero.
    score = torch.zeros(len(names), len(COCO_CLASSES)).to(names)
    if image.objects is not None:
        index = image.objects[..., 0].long()
        score = score.scatter_reduce(1, index, image.objects[..., 1].float(), "amax")
    boxed = score[:, detected.clamp_min(0)] * knows
    return torch.stack(
        [names.amax(dim=1) / 4, best / 4, share / 4, boxed * 2 - knows, knows.expand_as(boxed)], -1
    )


def find_evidence(
    fusion: Fusion,
    image: ImageState,
    words: Tensor,
    mask: Tensor,
    phrases: Phrases,
    taken: Tensor,
) -> Tensor:
    """What the fusion finds of the things that questions ask for.

    Args:
        fusion: With open matching and attributes.
        image: One row a question.
        words: Token embeddings of the questions for the things' masks, `q t text_width`.
        mask: `q t`, true where there is a token.
        phrases: The phrases of those questions.
        taken: `q`, whether the thing is often taken for another one (`look_alikes`).

    Returns:
        `q e`, float32.

    Raises:
        ValueError: The fusion has no open matching or reads no attributes.
    """
    states, logits, of_boxes = fusion.ground_with_boxes(image, words, mask, phrases)
    matching, objects, colors = fusion.matching, image.objects, image.colors
    if matching is None or objects is None or colors is None or image.classes is None:
        raise ValueError("answers in words need a model that matches by meaning and reads terms")
    found = matching.look_up((image.names.sigmoid(), image.boxes, image.classes.exp()), phrases)
    # Two weights of the cells: all that are rather of the thing, and the few that surely are.
    likely = logits.float().sigmoid()
    focus = logits.float().softmax(dim=-1)
    weight = likely / likely.sum(-1, keepdim=True).clamp_min(0.05)
    # How much the class of each box resembles the words; rows of zeros are no boxes.
    alike = found[1].alike.gather(1, objects[..., 0].long()) * (objects[..., 1] > 0)
    score = objects[..., 1] * alike
    # How much of the area under each box belongs to the mask.
    cover = cover_cells(objects[..., 2:6], _CELLS)
    under = (cover @ likely[..., None])[..., 0] / cover.sum(-1).clamp_min(0.1)
    # Boxes are ranked three times: by score, by the spatial reasoning, by the mask beneath them.
    meant = torch.zeros_like(score) if of_boxes is None else of_boxes.float().sigmoid()
    largest = torch.stack([one.largest for one in found], dim=1)
    numbers = [
        logits.topk(16, dim=-1).values / 4,
        likely.mean(-1, keepdim=True).clamp_min(1e-4).log() / 4,
        likely.amax(-1, keepdim=True),
        taken.float()[:, None],
        (weight[..., None] * colors).sum(1),
        (focus[..., None] * colors).sum(1),
        *_places(weight, likely),
        *_counts(objects[..., 1], alike),
        *(_sorted(one) for one in (score, score * meant, score * under)),
        largest.amax(-1),
        largest.topk(4, dim=-1).values.mean(-1),
        torch.stack([one.near.amax(-1) for one in found], dim=1),
        _patches(logits),
    ]
    # The state of the cells that surely belong to the thing.
    summary = (focus[..., None] * states).sum(1)
    return torch.cat([summary.float(), *(one.float() for one in numbers)], dim=-1)


def _sorted(score: Tensor) -> Tensor:
    """The largest scores, in order, `q 8`."""
    return score.topk(_BOXES, dim=-1).values


def _bumps(count: Tensor) -> Tensor:
    """Counts `q` → nearness to 0, 1, 2 …, `q 5`: a soft one-hot code."""
    # A linear head can then give each small count an answer of its own.
    steps = torch.arange(_COUNTS).to(count)
    return torch.exp(-2 * (count[:, None] - steps).square())


def _counts(score: Tensor, alike: Tensor) -> list[Tensor]:
    """Soft counts of the boxes of the kind, from each of several scores on."""
    made = []
    for least in _SCORES:
        # A logarithm, because large counts are never told apart exactly.
        count = (torch.sigmoid((score - least) * _STEEP) * alike).sum(-1)
        made += [count.clamp_min(0.0).log1p()[:, None], _bumps(count)]
    return made


def _places(weight: Tensor, likely: Tensor) -> list[Tensor]:
    """Share of the thing in each ninth of the image, its center and its spread."""
    # Nine parts of the image are what answers such as "top left" distinguish.
    maps = likely.unflatten(1, (_CELLS, _CELLS))
    ninths = nn.functional.adaptive_avg_pool2d(maps[:, None], 3).flatten(1)
    ninths = ninths / ninths.sum(-1, keepdim=True).clamp_min(0.02)
    middle = (torch.arange(_CELLS).to(weight) + 0.5) / _CELLS
    along = [weight.unflatten(1, (_CELLS, _CELLS)).sum(dim) for dim in (1, 2)]
    centers = [(one * middle).sum(-1, keepdim=True) for one in along]
    spreads = [
        ((one * middle.square()).sum(-1, keepdim=True) - center.square()).clamp_min(0.0).sqrt()
        for one, center in zip(along, centers, strict=True)
    ]
    return [ninths, *centers, *spreads]


def _patches(logits: Tensor) -> Tensor:
    """Number of connected patches of cells, from each of two target logits on.

    Single things that touch no other one are counted so, even where the detector has no class.
    """
    maps = logits.detach().float().unflatten(1, (_CELLS, _CELLS)).cpu().numpy()
    made = []
    for least in _PATCHES:
        counts = [cv2.connectedComponents((one > least).astype(np.uint8))[0] - 1 for one in maps]
        count = torch.tensor(counts, dtype=torch.float32, device=logits.device)
        made += [count.log1p()[:, None], _bumps(count)]
    return torch.cat(made, dim=-1)
