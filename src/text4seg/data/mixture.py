"""Which questions are asked about an image: kinds, proportions, repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from text4seg.core.errors import InputError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Mixture:
    """Which questions one pass over the images asks.

    Attributes:
        passes: The number of passes over all images, each with its own draw.
        rounds: How often an image with classes is used in each pass.
        crops: Sides in pixels of random square crops; empty for whole images. Expressions are never
            cropped: "on the left" would change its meaning.
        everything: The share of questions about all classes at once.
        present: The share of questions about a few classes that are in the image.
        distracted: The share of questions about a list of classes of which some are not there.
        single: Whether every class is also asked for alone, once per round.
        absent: The share of images with a question about one thing that is not there.
        distractors: The most absent classes in a list.
        synonyms: The share of questions that use another word, where the data set has one.
        turns: The number of questions in one conversation.
    """

    passes: int = 1
    rounds: int = 1
    crops: tuple[int, ...] = ()
    everything: float = 0.1
    present: float = 0.3
    distracted: float = 0.6
    single: bool = True
    absent: float = 0.25
    distractors: int = 6
    synonyms: float = 0.0
    turns: int = 1

    def __post_init__(self) -> None:
        shares = (self.everything, self.present, self.distracted)
        if min(shares) < 0 or not 0.999 < sum(shares) < 1.001:
            raise InputError(f"shares of kinds are not negative and sum to 1, got {shares}")
        if min(self.passes, self.rounds, self.turns) < 1:
            raise InputError("passes, rounds and turns are at least 1")
        if not (0 <= self.absent <= 1 and 0 <= self.synonyms <= 1):
            raise InputError("shares of absent things and of synonyms are from 0 to 1")
        if any(side < 16 for side in self.crops):
            raise InputError(f"crops are at least 16 pixels wide, got {self.crops}")


_SCENES = Mixture(
    passes=10, rounds=2, crops=(256, 336, 392, 448), single=False, absent=0.0, distractors=10
)
_ADE = Mixture(
    passes=5, rounds=2, crops=(256, 336, 392, 448), single=False, absent=0.0, distractors=10
)
_REFERRING = Mixture(passes=2, single=True, absent=0.0)

PAPER: Mapping[str, Mixture] = MappingProxyType(
    {
        "refcoco": _REFERRING,
        "refcoco+": _REFERRING,
        "refcocog": _REFERRING,
        "refclef": _REFERRING,
        "grefcoco": _REFERRING,
        "coco-stuff": _SCENES,
        "ade20k-150": _ADE,
        "ade20k-847": _ADE,
        "paco-lvis": Mixture(absent=0.0),
        "pascal-part": Mixture(absent=0.0),
    }
)
"""The counts and proportions of Text4Seg, by data set (arXiv 2410.09855, appendix)."""

PRESETS = ("plain", "paper")


def get_mixture(preset: str, reader: str) -> Mixture:
    """Get the mixture of a preset.

    Args:
        preset: `plain` or `paper`.
        reader: The layout of the data set.

    Returns:
        The mixture.

    Raises:
        UnknownNameError: There is no such preset, or the paper does not use this data set.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    if preset == "plain":
        return Mixture()
    if reader not in PAPER:
        raise UnknownNameError("data set of the paper's mixture", reader, PAPER)
    return PAPER[reader]
