"""The VQA head: evidence of a question → what the tokens of its answer are given.

A small network makes of the evidence (`vqa_evidence`) a vector for each of the first tokens of the
answer; the frozen language model writes the words. Answers that are names (`What is in the image?`)
are led by the names that count as present: each token is given the one that it is to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.text.question_types import QUESTION_TYPES
from text4seg.models.nano.vqa_evidence import evidence_width, name_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text4seg.models.nano.config import NanoConfig
    from text4seg.models.nano.fusion import ImageState

SLOTS = 6
"""Tokens of an answer that are given something, its end included."""
MOST_NAMES = 4
"""Names that an answer lists at most."""
_WIDTH, _NARROW, _DROPPED = 128, 64, 0.15
_NAME_FEATURES = 5
# A padding token's embedding may be all zeros, which has no direction.
_LEAST_SIZE = 1e-8


class NameScores(NamedTuple):
    """How likely each known name is in `b` images.

    Attributes:
        logits: That the name is there, `b names`.
        shares: Its share of the cells, `b names`.
        things: `names`: whether the detector knows it, so that it is a thing, not a surrounding.
    """

    logits: Tensor
    shares: Tensor
    things: Tensor


class VqaHead(nn.Module):
    """Evidence → what the tokens of an answer in words are given.

    Args:
        config: Widths and names.
        hidden: Width of the language model.
    """

    mean: Tensor
    deviation: Tensor
    detected: Tensor
    found_width = _NARROW + len(QUESTION_TYPES)

    def __init__(self, config: NanoConfig, hidden: int) -> None:
        super().__init__()
        width = evidence_width(config)
        # Evidence mixes counts, logits and shares; stage 3 measures its mean and deviation.
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        # Not saved: it follows from the names.
        self.register_buffer("detected", classes_of(config.names), persistent=False)
        # States are many and redundant, so they are narrowed before they meet the numbers.
        self.state = nn.Linear(config.fusion_width, _NARROW // 2)
        self.read = nn.Sequential(
            nn.Linear(width - config.fusion_width + _NARROW // 2 + len(QUESTION_TYPES), _WIDTH),
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
        """Vectors for the answers' first tokens.

        Args:
            evidence: `q e` of `find_evidence`; the mean of all where a question is of no thing.
            kinds: Index of each question's kind in `QUESTION_TYPES`, `q`.

        Returns:
            `q SLOTS hidden`.
        """
        return self.say(self.find(evidence, kinds))

    def find(self, evidence: Tensor, kinds: Tensor) -> Tensor:
        """The content of the answer, before it is put in words: `q found_width`."""
        asked = nn.functional.one_hot(kinds, len(QUESTION_TYPES)).to(evidence)
        # Clamped: a photo unlike all that was trained on must not run away with the answer.
        scaled = ((evidence - self.mean) / self.deviation).clamp(-5.0, 5.0)
        states, numbers = scaled[:, : self._states], scaled[:, self._states :]
        read = self.read(torch.cat([self.state(states), numbers, asked], dim=-1))
        # The type goes around the network as well: it decides the first word of most answers.
        return torch.cat([read, asked], dim=-1)

    def say(self, found: Tensor) -> Tensor:
        """The content → vectors for the tokens, `q SLOTS hidden`."""
        slots: Tensor = self.slots(found)
        return slots.unflatten(-1, (SLOTS, -1))

    def lead(self, embedded: Tensor) -> Tensor:
        """Embeddings of the tokens to write, `t hidden` → what makes the model write them."""
        size = embedded.square().mean(-1, keepdim=True)
        led: Tensor = self.copy(embedded * (size + _LEAST_SIZE).rsqrt())
        return led

    def name(self, features: Tensor) -> Tensor:
        """Result of `name_features`, `b names 5` → logits that the name is there, `b names`."""
        logits: Tensor = self.naming(features)[..., 0] + self.name_offset
        return logits

    def add_names(self, names: Sequence[str]) -> None:
        """Append names of the fusion's own head, as likely a priori as the known ones."""
        offset = self.name_offset.detach()
        more = offset.mean().expand(len(names))
        self.name_offset = nn.Parameter(torch.cat([offset, more]))
        self.detected = torch.cat([self.detected, classes_of(names).to(self.detected)])

    def named(self, image: ImageState) -> NameScores:
        """The scores of all known names in `b` images."""
        features = name_features(image, self.detected)
        shares = image.names.float().sigmoid().mean(dim=1)
        return NameScores(self.name(features), shares, self.detected >= 0)


def classes_of(names: Sequence[str]) -> Tensor:
    """The detector's class of each name, `names`; -1 where it has none."""
    index = [COCO_CLASSES.index(name) if name in COCO_CLASSES else -1 for name in names]
    return torch.tensor(index, dtype=torch.long)


def choose_names(named: NameScores, names: Sequence[str], most: int = MOST_NAMES) -> list[str]:
    """The names to list for one image: those likelier present than not, at least the likeliest.

    Args:
        named: Scores of one image.
        names: The known names.
        most: How many to list at most.

    Returns:
        Names; things before surroundings (a cat before the wall), the largest first.
    """
    logits, shares = named.logits[0], named.shares[0]
    there = (logits > 0).nonzero()[:, 0].tolist() or [int(logits.argmax())]
    ordered = sorted(there, key=lambda i: (not named.things[i], -float(shares[i])))
    return [names[index] for index in ordered[:most]]
