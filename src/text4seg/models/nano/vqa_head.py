"""Answers in words: what the fusion found of a thing, told to the language model token by token.

As a mask's tokens are given the state of the cell that they write (`modeling`), so the tokens of an
answer in words are given a summary of all cells: how surely and where the thing is seen, its
colors, the detector's boxes of its kind. A small network (`VqaHead`) makes of it a vector for
each of the first tokens. Answers that are names (`What is in the image?`) are instead led by the
names that it holds to be there: each token is given the one that it is to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.spatial import cover_cells
from text4seg.models.nano.text.phrases import find_attributes, gather_phrases
from text4seg.models.nano.text.question_types import KINDS
from text4seg.prompts import question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from text4seg.models.nano.config import NanoConfig
    from text4seg.models.nano.fusion import Fusion, ImageState
    from text4seg.models.nano.matching import Phrases
    from text4seg.models.nano.modeling import NanoForConditionalGeneration
    from text4seg.models.nano.text.phrases import PhraseReader

SLOTS = 6
"""Tokens of an answer that are given something, its end included."""
_CELLS, _COLORS, _BOXES = 16, 12, 8
_SCORES = (0.2, 0.3, 0.4, 0.5, 0.6)
_COUNTS = 5
_STEEP = 30.0
_PATCHES = (0.0, 1.5)
_NUMBERS = (
    19 + 2 * _COLORS + (9 + 4) + len(_SCORES) * (1 + _COUNTS) + 3 * _BOXES + 9
    + len(_PATCHES) * (1 + _COUNTS)
)  # fmt: skip
_WIDTH, _NARROW, _DROPPED = 128, 64, 0.15
_NAME_FEATURES = 5
# A padding token's embedding may be all zeros, which has no direction.
_LEAST_SIZE = 1e-8
# A thing is named where it is likelier there than not; so many at most.
MOST_NAMES = 4


class NameScores(NamedTuple):
    """Of images: how likely each known name is there (logits `b n`), and its share of the cells;
    which names `n` are of things that the detector knows, not of what is around them.
    """

    logits: Tensor
    shares: Tensor
    things: Tensor


class VqaHead(nn.Module):
    """What the tokens of an answer in words are given: `q SLOTS hidden`."""

    mean: Tensor
    deviation: Tensor
    detected: Tensor
    found_width = _NARROW + len(KINDS)

    def __init__(self, config: NanoConfig, hidden: int) -> None:
        super().__init__()
        width = evidence_width(config)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("detected", classes_of(config.names), persistent=False)
        self.state = nn.Linear(config.fusion_width, _NARROW // 2)
        self.read = nn.Sequential(
            nn.Linear(width - config.fusion_width + _NARROW // 2 + len(KINDS), _WIDTH),
            nn.GELU(),
            nn.Dropout(_DROPPED),
            nn.Linear(_WIDTH, _NARROW),
            nn.GELU(),
        )
        self.slots = nn.Linear(self.found_width, SLOTS * hidden)
        self.copy = nn.Linear(hidden, hidden)
        self.naming = nn.Sequential(nn.Linear(_NAME_FEATURES, 16), nn.GELU(), nn.Linear(16, 1))
        self.name_offset = nn.Parameter(torch.zeros(len(config.names)))
        self._states = config.fusion_width

    def forward(self, evidence: Tensor, kinds: Tensor) -> Tensor:
        """Evidence `q e` and kinds of questions `q` (places in `KINDS`) → `q SLOTS hidden`."""
        return self.say(self.find(evidence, kinds))

    def find(self, evidence: Tensor, kinds: Tensor) -> Tensor:
        """The answer before it is put in words, `q found_width`."""
        asked = nn.functional.one_hot(kinds, len(KINDS)).to(evidence)
        scaled = ((evidence - self.mean) / self.deviation).clamp(-5.0, 5.0)
        states, numbers = scaled[:, : self._states], scaled[:, self._states :]
        read = self.read(torch.cat([self.state(states), numbers, asked], dim=-1))
        return torch.cat([read, asked], dim=-1)

    def say(self, found: Tensor) -> Tensor:
        slots: Tensor = self.slots(found)
        return slots.unflatten(-1, (SLOTS, -1))

    def lead(self, embedded: Tensor) -> Tensor:
        """Embeddings of the tokens to write `t hidden` → what leads the writer to them."""
        size = embedded.square().mean(-1, keepdim=True)
        led: Tensor = self.copy(embedded * (size + _LEAST_SIZE).rsqrt())
        return led

    def name(self, features: Tensor) -> Tensor:
        """`b n f` of `name_features` → logits `b n` that the name is there."""
        logits: Tensor = self.naming(features)[..., 0] + self.name_offset
        return logits

    def add_names(self, names: Sequence[str]) -> None:
        """Further names of the fusion's own head: as likely as those that it knows."""
        offset = self.name_offset.detach()
        more = offset.mean().expand(len(names))
        self.name_offset = nn.Parameter(torch.cat([offset, more]))
        self.detected = torch.cat([self.detected, classes_of(names).to(self.detected)])

    def named(self, image: ImageState) -> NameScores:
        features = name_features(image, self.detected)
        shares = image.names.float().sigmoid().mean(dim=1)
        return NameScores(self.name(features), shares, self.detected >= 0)


def classes_of(names: Sequence[str]) -> Tensor:
    """The detector's class of each name; -1 where it has none."""
    index = [COCO_CLASSES.index(name) if name in COCO_CLASSES else -1 for name in names]
    return torch.tensor(index, dtype=torch.long)


def evidence_width(config: NanoConfig) -> int:
    return config.fusion_width + _NUMBERS


def choose_names(named: NameScores, names: Sequence[str], most: int = MOST_NAMES) -> list[str]:
    """Of one image: what is rather there than not; at least the likeliest.

    Things come before what is around them (a cat before the wall), the largest first.
    """
    logits, shares = named.logits[0], named.shares[0]
    there = (logits > 0).nonzero()[:, 0].tolist() or [int(logits.argmax())]
    ordered = sorted(there, key=lambda i: (not named.things[i], -float(shares[i])))
    return [names[index] for index in ordered[:most]]


def name_features(image: ImageState, detected: Tensor) -> Tensor:
    """Of each known name `b n 5`: the most, the mean and the best eight cells of the fusion's own
    head, the detector's best box, and whether it has that class.
    """
    seen = image.names.float()
    best = seen.topk(8, dim=1).values.mean(dim=1)
    share = torch.logit(seen.sigmoid().mean(dim=1).clamp(1e-4, 1 - 1e-4))
    knows = (detected >= 0).to(seen)
    score = torch.zeros(len(seen), len(COCO_CLASSES)).to(seen)
    if image.objects is not None:
        index = image.objects[..., 0].long()
        score = score.scatter_reduce(1, index, image.objects[..., 1].float(), "amax")
    boxed = score[:, detected.clamp_min(0)] * knows
    return torch.stack(
        [seen.amax(dim=1) / 4, best / 4, share / 4, boxed * 2 - knows, knows.expand_as(boxed)], -1
    )


def gather_evidence(
    model: NanoForConditionalGeneration,
    reader: PhraseReader,
    encode: Callable[[str], list[int]],
    image: ImageState,
    expressions: Sequence[str],
) -> Tensor:
    """What is found of the expressions in one image: `q e`."""
    read = [reader.read(question(expression)) for expression in expressions]
    rows = [torch.tensor(encode(one.text)) for one in read]
    pad = nn.utils.rnn.pad_sequence
    words = pad(rows, batch_first=True)
    mask = pad([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
    known = set(model.config.look_alikes)
    taken = torch.tensor([not known.isdisjoint(find_attributes(one.text)[0]) for one in read])
    return find_evidence(
        model.fusion,
        image.select(torch.zeros(len(read), dtype=torch.long)),
        model.language.embed_tokens(words),
        mask,
        gather_phrases(read),
        taken,
    )


def find_evidence(
    fusion: Fusion,
    image: ImageState,
    words: Tensor,
    mask: Tensor,
    phrases: Phrases,
    taken: Tensor,
) -> Tensor:
    """What the fusion finds of the things that questions ask for: `q e`.

    The questions are those for their masks; `image` has a row for each. `taken q`: whether the
    thing is one of those that are taken for one another (`look_alikes`).
    """
    states, logits, of_boxes = fusion.ground_with_boxes(image, words, mask, phrases)
    matching, objects, colors = fusion.matching, image.objects, image.colors
    if matching is None or objects is None or colors is None or image.classes is None:
        raise ValueError("answers in words need a model that matches by meaning and reads terms")
    found = matching.look_up((image.names.sigmoid(), image.boxes, image.classes.exp()), phrases)
    likely = logits.float().sigmoid()
    focus = logits.float().softmax(dim=-1)
    weight = likely / likely.sum(-1, keepdim=True).clamp_min(0.05)
    alike = found[1].alike.gather(1, objects[..., 0].long()) * (objects[..., 1] > 0)
    score = objects[..., 1] * alike
    cover = cover_cells(objects[..., 2:6], _CELLS)
    under = (cover @ likely[..., None])[..., 0] / cover.sum(-1).clamp_min(0.1)
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
    summary = (focus[..., None] * states).sum(1)
    return torch.cat([summary.float(), *(one.float() for one in numbers)], dim=-1)


def _sorted(score: Tensor) -> Tensor:
    return score.topk(_BOXES, dim=-1).values


def _bumps(count: Tensor) -> Tensor:
    """`q` → how near each is to 0, 1, 2 … : `q _COUNTS`."""
    steps = torch.arange(_COUNTS).to(count)
    return torch.exp(-2 * (count[:, None] - steps).square())


def _counts(score: Tensor, alike: Tensor) -> list[Tensor]:
    """Boxes of the kind from some scores on, counted softly."""
    made = []
    for least in _SCORES:
        count = (torch.sigmoid((score - least) * _STEEP) * alike).sum(-1)
        made += [count.clamp_min(0.0).log1p()[:, None], _bumps(count)]
    return made


def _places(weight: Tensor, likely: Tensor) -> list[Tensor]:
    """How much of it is in each ninth of the image, where its center is and how far it spreads."""
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
    """How many separate patches of cells are seen, from two target logits on."""
    maps = logits.detach().float().unflatten(1, (_CELLS, _CELLS)).cpu().numpy()
    made = []
    for least in _PATCHES:
        counts = [cv2.connectedComponents((one > least).astype(np.uint8))[0] - 1 for one in maps]
        count = torch.tensor(counts, dtype=torch.float32, device=logits.device)
        made += [count.log1p()[:, None], _bumps(count)]
    return torch.cat(made, dim=-1)
