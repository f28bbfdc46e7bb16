"""Attributes: what a question says of a thing besides its name.

`the second red cup left of the lamp` → color red, rank 1, relation left, landmark lamp. The words
are read off by patterns, not learned; `spatial` looks them up among the detector's boxes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from text4seg.models.nano.encoders.colors import COLORS, OTHER_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# The sides from which things are ranked, sizes among them, and relations to a landmark; the weights
# know both by their index.
SIDES = ("left", "right", "top", "bottom", "big", "small")
RELATIONS = ("left", "right", "above", "below", "near")
_SIDE_WORDS = {
    "left": "left", "leftmost": "left", "right": "right", "rightmost": "right",
    "top": "top", "upper": "top", "uppermost": "top", "topmost": "top", "highest": "top",
    "bottom": "bottom", "lower": "bottom", "lowest": "bottom", "bottommost": "bottom",
    "big": "big", "bigger": "big", "biggest": "big", "large": "big", "larger": "big",
    "largest": "big", "small": "small", "smaller": "small", "smallest": "small",
}  # fmt: skip
_RANKS = {"second": 1, "third": 2, "fourth": 3}
_RELATION_WORDS = {
    "left of": "left", "right of": "right",
    "above": "above", "over": "above", "on top of": "above", "on": "above",
    "below": "below", "under": "below", "underneath": "below", "beneath": "below",
    "next to": "near", "beside": "near", "near": "near", "close to": "near", "by": "near",
}  # fmt: skip
_RELATION = re.compile(
    r"^(?P<thing>.+?)\s+(?:(?:that|which)\s+(?:is|are)\s+)?(?:(?:to|on)\s+the\s+)?"
    rf"(?P<relation>{'|'.join(sorted(_RELATION_WORDS, key=len, reverse=True))})\s+"
    r"(?:(?:the|a|an|this|that|my|your|his|her|its|their)\s+)?(?P<landmark>\S.*)$",
    re.IGNORECASE,
)
_SIDE = re.compile(rf"\b({'|'.join(_SIDE_WORDS)})\b", re.IGNORECASE)
_RANK = re.compile(rf"\b({'|'.join(_RANKS)})\b", re.IGNORECASE)
# A color stands before what it colors: `the orange` is a fruit.
_COLOR = re.compile(
    rf"\b(?:(?:light|dark|bright|pale)\s+)?({'|'.join((*COLORS, *OTHER_WORDS))})\s+(?=\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one expression.

    Attributes:
        thing: What is left of the expression without its attributes.
        color: One of `COLORS`.
        side: One of `SIDES`: where the thing stands among others of its kind.
        rank: From 0, the first from that side.
        relation: One of `RELATIONS`, to the landmark.
        landmark: The other thing, as it was written.
    """

    thing: str
    color: str | None = None
    side: str | None = None
    rank: int = 0
    relation: str | None = None
    landmark: str | None = None


def read_attributes(expression: str) -> Attributes:
    """Read the attributes off an expression.

    Args:
        expression: As in `the second red cup left of the lamp`.

    Returns:
        Its attributes; words that name none stay in `thing`.
    """
    thing, relation, landmark = expression.strip(), None, None
    found = _RELATION.match(thing)
    # In `the dog on the left` the pattern finds a landmark `left`, which is a side.
    if found and not _SIDE.fullmatch(re.split(r"\s", found["landmark"])[0]):
        thing, landmark = found["thing"], found["landmark"].lower()
        relation = _RELATION_WORDS[re.sub(r"\s+", " ", found["relation"].lower())]
    side, rank = _SIDE.search(thing), _RANK.search(thing)
    color = _COLOR.search(thing)
    name = None
    if color:
        name = color[1].lower()
        name = OTHER_WORDS.get(name, name)
        thing = _COLOR.sub("", thing)
    return Attributes(
        thing,
        name,
        _SIDE_WORDS[side[1].lower()] if side else None,
        _RANKS[rank[1].lower()] if side and rank else 0,
        relation,
        landmark,
    )


@dataclass(frozen=True, slots=True)
class AttributeTensors:
    """The attributes of `q` questions as numbers; a row of zeros where one has none of a kind.

    Attributes:
        colors: One-hot over `COLORS`, `q 12`.
        sides: One-hot over `SIDES`, `q 6`.
        ranks: From 0, `q`.
        relations: One-hot over `RELATIONS`, `q 5`.
        landmarks: Sentence embeddings of the landmarks, `q 384`.
    """

    colors: Tensor
    sides: Tensor
    ranks: Tensor
    relations: Tensor
    landmarks: Tensor

    def to(self, like: Tensor) -> AttributeTensors:
        """The same on the device and of the type of `like`."""
        fields = (self.colors, self.sides, self.ranks, self.relations, self.landmarks)
        return AttributeTensors(*(field.to(like) for field in fields))


def stack_attributes(
    attributes: Sequence[Attributes], landmarks: Sequence[Tensor | None], width: int
) -> AttributeTensors:
    """Stack the attributes of several questions.

    Args:
        attributes: Of each question.
        landmarks: Sentence embedding of each question's landmark, None where it has none.
        width: Of a sentence embedding.

    Returns:
        A row a question.
    """
    nothing = torch.zeros(width)
    return AttributeTensors(
        _one_hot([one.color for one in attributes], COLORS),
        _one_hot([one.side for one in attributes], SIDES),
        torch.tensor([float(one.rank) for one in attributes]),
        _one_hot([one.relation for one in attributes], RELATIONS),
        torch.stack([nothing if vector is None else vector for vector in landmarks]),
    )


def _one_hot(words: Sequence[str | None], known: Sequence[str]) -> Tensor:
    """A row a word, of zeros for none."""
    return torch.tensor([[float(word == one) for one in known] for word in words])
