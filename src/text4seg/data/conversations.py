"""From an image with true masks to questions and answers.

Every draw comes from one seeded generator an image and pass, so a sample depends on the seed, the
image's number and the pass alone, never on how the work was divided.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from text4seg import prompts
from text4seg.codec import BoxWise, get_any_format
from text4seg.core.errors import InputError
from text4seg.core.geometry import Rule, coverage_to_cells, mask_to_grid, masks_to_grid
from text4seg.core.regions import Regions, masks_to_regions
from text4seg.core.types import OTHERS, Box, DescriptorGrid, GridShape, Size, label_fault
from text4seg.data.coverage import region_to_coverage, regions_to_coverage
from text4seg.data.interface import ReferringTarget, Sample
from text4seg.data.mixture import Mixture

QuestionKind = Literal["one", "everything", "list", "parts", "part", "absent"]
QUESTIONS: tuple[QuestionKind, ...] = ("one", "everything", "list", "parts", "part", "absent")


@dataclass(frozen=True, slots=True)
class Target:
    """How masks become text: the grid (`box`: inside each box), the format and the rule."""

    grid: GridShape = field(default_factory=lambda: GridShape(16, 16))
    format_name: str = "rrle"
    rule: Rule = "coverage"

    def __post_init__(self) -> None:
        if self.is_boxes and self.rule == "center":
            raise InputError("boxes are not for the rule center: take coverage or iou")

    @property
    def is_boxes(self) -> bool:
        """Whether a mask is told by boxes with a grid in each."""
        return isinstance(get_any_format(self.format_name), BoxWise)

    def encode(self, value: Value) -> str:
        """The text of a grid or of boxes, as the format has them."""
        form = get_any_format(self.format_name)
        return form.encode(value)  # type: ignore[arg-type]  # _Writer makes what the format takes


Value = DescriptorGrid | Regions


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer; `labels` are the names that were asked for."""

    kind: QuestionKind
    question: str
    answer: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Questions about one image, or about the crop of it that `crop` tells in pixels."""

    sample: Sample
    turns: tuple[Turn, ...]
    crop: Box | None = None


def converse(
    sample: Sample, mixture: Mixture, target: Target, random: np.random.Generator
) -> Iterator[Conversation]:
    """The conversations of one pass over an image; raises `InputError` for an unreadable mask."""
    writer = _Writer(sample, mixture, target, random, _cover(sample, mixture, target))
    whole = [writer.one(asked) for asked in sample.targets if asked.kind == "expression"]
    whole += writer.parts()
    yield from _gather(sample, whole, mixture.turns, None)
    classes = [asked for asked in sample.targets if asked.kind == "class"]
    for _ in range(mixture.rounds if classes else 0):
        crop = _draw_crop(sample, mixture.crops, random)
        turns = writer.classes(classes, crop)
        yield from _gather(sample, turns, mixture.turns, crop)


def _cover(sample: Sample, mixture: Mixture, target: Target) -> dict[int, np.ndarray]:
    """The coverage under everything that is asked of the whole image, by object."""
    if target.rule == "center" or target.is_boxes:
        return {}
    regions = {
        id(asked): asked.mask
        for asked in sample.targets
        if asked.mask is not None and not (mixture.crops and asked.kind == "class")
    }
    covered = regions_to_coverage(list(regions.values()), target.grid)
    return dict(zip(regions, covered, strict=True))


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
class _Writer:
    """Writes turns about one image."""

    sample: Sample
    mixture: Mixture
    target: Target
    random: np.random.Generator
    coverage: dict[int, np.ndarray]

    def one(self, asked: ReferringTarget, crop: Box | None = None) -> Turn:
        """A question about one expression, class or part."""
        label = self._word(asked)
        grid = self._single(asked, label, crop)
        wordings = prompts.PART if asked.kind == "part" else prompts.QUESTIONS
        question = self._draw(wordings).format(expression=label, name=label)
        kind: QuestionKind = "part" if asked.kind == "part" else "one"
        return self._turn("absent" if grid.is_empty else kind, question, grid, (label,))

    def parts(self) -> list[Turn]:
        """Questions about each part, and about each thing with several parts divided into them."""
        parts = [asked for asked in self.sample.targets if asked.kind == "part"]
        turns = [self.one(part) for part in parts]
        wholes: dict[str, list[ReferringTarget]] = {}
        for part in parts:
            wholes.setdefault(part.whole, []).append(part)
        for whole, of_it in wholes.items():
            if len(of_it) > 1:
                labels = {part.expression: part for part in of_it}
                grid = self._several(labels, None)
                question = self._draw(prompts.PARTS).format(name=whole)
                turns.append(self._turn("parts", question, grid, tuple(labels)))
        return turns

    def classes(self, classes: Sequence[ReferringTarget], crop: Box | None) -> list[Turn]:
        """One question about several classes, and about each alone where the mixture wants it."""
        turns = []
        seen = [asked for asked in classes if crop is None or self._cut(asked, crop).any()]
        if seen:
            turns.append(self._mixed(seen, crop))
        if self.mixture.single:
            turns += [self.one(asked, crop) for asked in seen]
        if self.sample.absent and self.random.random() < self.mixture.absent:
            turns.append(self._missing([asked.expression for asked in seen]))
        return turns

    def _mixed(self, seen: Sequence[ReferringTarget], crop: Box | None) -> Turn:
        kind = self.random.choice(
            3, p=(self.mixture.everything, self.mixture.present, self.mixture.distracted)
        )
        if kind == 0:
            labels = {self._word(asked): asked for asked in seen}
            question = self._draw(prompts.EVERYTHING)
            return self._turn("everything", question, self._several(labels, crop), tuple(labels))
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
        return self._turn("list", question, self._several(labels, crop), names)

    def _missing(self, seen: Sequence[str]) -> Turn:
        """A question about something absent: half of them close in name to what is there."""
        absent = [name for name in self.sample.absent if not label_fault(name)]
        near = near_names(seen, absent) if seen and self.random.random() < 0.5 else []
        label = str(self.random.choice(near or absent))
        question = self._draw(prompts.QUESTIONS).format(expression=label)
        return self._turn("absent", question, self._nothing(), (label,))

    def _nothing(self) -> Value:
        return Regions() if self.target.is_boxes else DescriptorGrid.empty(self.target.grid)

    def _single(self, asked: ReferringTarget, label: str, crop: Box | None) -> Value:
        shape, rule = self.target.grid, self.target.rule
        if asked.mask is None:
            return self._nothing()
        if self.target.is_boxes:
            return masks_to_regions([(label, self._cut(asked, crop))], shape, rule)
        if crop is not None or rule == "center":
            return mask_to_grid(self._cut(asked, crop), label, shape, rule=rule)
        known = self.coverage.get(id(asked))
        coverage = region_to_coverage(asked.mask, shape) if known is None else known
        cells = coverage_to_cells(coverage, rule)
        return DescriptorGrid((OTHERS, label), cells.astype(np.int32))

    def _several(self, labels: dict[str, ReferringTarget], crop: Box | None) -> Value:
        if len(labels) == 1:
            ((label, asked),) = labels.items()
            return self._single(asked, label, crop)
        masks = {label: self._cut(asked, crop) for label, asked in labels.items()}
        if self.target.is_boxes:
            # Later boxes lie on top: a part on its whole.
            large_first = sorted(masks.items(), key=lambda pair: -int(pair[1].sum()))
            return masks_to_regions(large_first, self.target.grid, self.target.rule)
        return masks_to_grid(masks, self.target.grid, rule=self.target.rule)

    def _cut(self, asked: ReferringTarget, crop: Box | None) -> np.ndarray:
        mask = asked.to_mask(self.sample.size or _size(asked))
        if crop is None:
            return mask
        return mask[int(crop.y0) : int(crop.y1), int(crop.x0) : int(crop.x1)]

    def _word(self, asked: ReferringTarget) -> str:
        usable = [word for word in asked.synonyms if not label_fault(word)]
        if usable and self.random.random() < self.mixture.synonyms:
            return str(self.random.choice(usable))
        return asked.expression

    def _draw(self, wordings: Sequence[str]) -> str:
        return wordings[int(self.random.integers(len(wordings)))]

    def _turn(
        self, kind: QuestionKind, question: str, value: Value, labels: tuple[str, ...]
    ) -> Turn:
        told = prompts.on_grid(question, self.target.grid)
        return Turn(kind, told, prompts.answer(self.target.encode(value)), labels)


def _size(asked: ReferringTarget) -> Size:
    return asked.mask.size if asked.mask is not None else Size(1, 1)


def near_names(seen: Sequence[str], absent: Sequence[str]) -> list[str]:
    """Absent names that share a word with something seen, or are spelt much like it."""
    words = {word for name in seen for word in name.split() if len(word) > 2}
    sharing = [name for name in absent if words & set(name.split())]
    spelt = [close for name in seen for close in difflib.get_close_matches(name, absent, n=2)]
    return list(dict.fromkeys(sharing + spelt))
