"""From an image with true masks to questions and answers.

All draws come from one seeded generator per image and pass, so a sample depends on the seed, the
image's number and the pass alone, never on how the work was divided.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from text4seg import prompts
from text4seg.core.types import Box, Size, label_fault
from text4seg.data.interface import ReferringTarget, Sample
from text4seg.data.mixture import Mixture
from text4seg.data.targets import TargetEncoder, Value, label_cells

QuestionKind = Literal["one", "everything", "list", "parts", "part", "absent"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer.

    Attributes:
        kind: What is asked for.
        question: The user's text.
        answer: The assistant's text, with the mask in it.
        labels: The names that were asked for.
    """

    kind: QuestionKind
    question: str
    answer: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns about one image, or about a crop of it.

    Attributes:
        sample: The image.
        turns: The questions and answers.
        crop: The part of the image that they are about, in pixels; None for the whole image.
    """

    sample: Sample
    turns: tuple[Turn, ...]
    crop: Box | None = None


def make_conversations(
    sample: Sample, mixture: Mixture, encoder: TargetEncoder, random: np.random.Generator
) -> Iterator[Conversation]:
    """Make the conversations of one pass over an image.

    Args:
        sample: The image with its targets.
        mixture: Which questions are asked.
        encoder: How masks become text.
        random: The source of every draw.

    Raises:
        InputError: A mask cannot be read.
    """
    cells = _find_cells(sample, mixture, encoder)
    maker = _TurnMaker(sample, mixture, encoder, random, cells)
    whole = [maker.one(target) for target in sample.targets if target.kind == "expression"]
    whole += maker.parts()
    yield from _gather(sample, whole, mixture.turns, None)
    classes = [target for target in sample.targets if target.kind == "class"]
    for _ in range(mixture.rounds if classes else 0):
        crop = _draw_crop(sample, mixture.crops, random)
        turns = maker.classes(classes, crop)
        yield from _gather(sample, turns, mixture.turns, crop)


def _find_cells(
    sample: Sample, mixture: Mixture, encoder: TargetEncoder
) -> dict[int, Bool[np.ndarray, "rows cols"]]:
    """The cells of everything that is asked of the whole image, by object: faster together."""
    if encoder.has_boxes:
        return {}
    masks = {
        id(target): target.mask
        for target in sample.targets
        if target.mask is not None and not (mixture.crops and target.kind == "class")
    }
    return dict(zip(masks, encoder.to_cells(list(masks.values())), strict=True))


def _gather(
    sample: Sample, turns: Sequence[Turn], most: int, crop: Box | None
) -> Iterator[Conversation]:
    for at in range(0, len(turns), most):
        yield Conversation(sample, tuple(turns[at : at + most]), crop)


def _draw_crop(sample: Sample, sides: Sequence[int], random: np.random.Generator) -> Box | None:
    """A random square as large as drawn, or as the image allows."""
    if not sides or sample.size is None:
        return None
    side = min(int(random.choice(sides)), sample.size.height, sample.size.width)
    top = int(random.integers(sample.size.height - side + 1))
    left = int(random.integers(sample.size.width - side + 1))
    return Box(left, top, left + side, top + side)


@dataclass(frozen=True, slots=True)
class _TurnMaker:
    """Makes turns about one image."""

    sample: Sample
    mixture: Mixture
    encoder: TargetEncoder
    random: np.random.Generator
    cells: Mapping[int, Bool[np.ndarray, "rows cols"]]

    def one(self, target: ReferringTarget, crop: Box | None = None) -> Turn:
        """A question about one expression, class or part."""
        label = self._word(target)
        grid = self._value({label: target}, crop)
        wordings = prompts.PART if target.kind == "part" else prompts.QUESTIONS
        question = self._draw(wordings).format(expression=label, name=label)
        kind: QuestionKind = "part" if target.kind == "part" else "one"
        return self._turn("absent" if grid.is_empty else kind, question, grid, (label,))

    def parts(self) -> list[Turn]:
        """Questions about each part, and about each thing with several parts divided into them."""
        parts = [target for target in self.sample.targets if target.kind == "part"]
        turns = [self.one(part) for part in parts]
        wholes: dict[str, list[ReferringTarget]] = {}
        for part in parts:
            wholes.setdefault(part.whole, []).append(part)
        for whole, of_it in wholes.items():
            if len(of_it) > 1:
                labels = {part.expression: part for part in of_it}
                grid = self._value(labels, None)
                question = self._draw(prompts.PARTS).format(name=whole)
                turns.append(self._turn("parts", question, grid, tuple(labels)))
        return turns

    def classes(self, classes: Sequence[ReferringTarget], crop: Box | None) -> list[Turn]:
        """One question about several classes, and about each alone where the mixture wants it."""
        turns = []
        seen = [target for target in classes if crop is None or self._cut(target, crop).any()]
        if seen:
            turns.append(self._mixed(seen, crop))
        if self.mixture.single:
            turns += [self.one(target, crop) for target in seen]
        if self.sample.absent and self.random.random() < self.mixture.absent:
            turns.append(self._missing([target.expression for target in seen]))
        return turns

    def _mixed(self, seen: Sequence[ReferringTarget], crop: Box | None) -> Turn:
        kind = self.random.choice(
            3, p=(self.mixture.everything, self.mixture.present, self.mixture.distracted)
        )
        if kind == 0:
            labels = {self._word(target): target for target in seen}
            question = self._draw(prompts.EVERYTHING)
            return self._turn("everything", question, self._value(labels, crop), tuple(labels))
        most = len(seen) if kind == 2 else min(3, len(seen))
        count = int(self.random.integers(1, most + 1))
        chosen = sorted(self.random.choice(len(seen), count, replace=False).tolist())
        labels = {self._word(seen[at]): seen[at] for at in chosen}
        asked_for = list(labels)
        if kind == 2 and self.sample.absent:
            most = min(self.mixture.distractors, len(self.sample.absent))
            extra = int(self.random.integers(1, most + 1))
            at = self.random.choice(len(self.sample.absent), extra, replace=False)
            asked_for += [self.sample.absent[one] for one in at.tolist()]
        self.random.shuffle(asked_for)
        names = tuple(name for name in dict.fromkeys(asked_for) if not label_fault(name))
        question = self._draw(prompts.SEVERAL).format(names="|".join(names))
        return self._turn("list", question, self._value(labels, crop), names)

    def _missing(self, seen: Sequence[str]) -> Turn:
        """A question about something absent: half of them close in name to what is there."""
        absent = [name for name in self.sample.absent if not label_fault(name)]
        near = near_names(seen, absent) if seen and self.random.random() < 0.5 else []
        label = str(self.random.choice(near or absent))
        question = self._draw(prompts.QUESTIONS).format(expression=label)
        return self._turn("absent", question, self.encoder.to_value([]), (label,))

    def _value(self, labels: Mapping[str, ReferringTarget], crop: Box | None) -> Value:
        """What the encoder writes for these targets; those without a mask add nothing."""
        if crop is None and len(labels) == 1:
            ((label, target),) = labels.items()
            if id(target) in self.cells:
                return label_cells(label, self.cells[id(target)])
        there = [pair for pair in labels.items() if pair[1].mask is not None]
        return self.encoder.to_value([(label, self._cut(one, crop)) for label, one in there])

    def _cut(self, target: ReferringTarget, crop: Box | None) -> Bool[np.ndarray, "h w"]:
        mask = target.to_mask(self.sample.size or _size(target))
        if crop is None:
            return mask
        return mask[int(crop.y0) : int(crop.y1), int(crop.x0) : int(crop.x1)]

    def _word(self, target: ReferringTarget) -> str:
        usable = [word for word in target.synonyms if not label_fault(word)]
        if usable and self.random.random() < self.mixture.synonyms:
            return str(self.random.choice(usable))
        return target.expression

    def _draw(self, wordings: Sequence[str]) -> str:
        return wordings[int(self.random.integers(len(wordings)))]

    def _turn(
        self, kind: QuestionKind, question: str, value: Value, labels: tuple[str, ...]
    ) -> Turn:
        worded = prompts.on_grid(question, self.encoder.grid)
        return Turn(kind, worded, prompts.answer(self.encoder.write(value)), labels)


def _size(target: ReferringTarget) -> Size:
    return target.mask.size if target.mask is not None else Size(1, 1)


def near_names(seen: Sequence[str], absent: Sequence[str]) -> list[str]:
    """Absent names that share a word with something seen, or are spelt much like it."""
    words = {word for name in seen for word in name.split() if len(word) > 2}
    sharing = [name for name in absent if words & set(name.split())]
    spelt = [close for name in seen for close in difflib.get_close_matches(name, absent, n=2)]
    return list(dict.fromkeys(sharing + spelt))
