"""Ask a segmenter every question of a data set and compare its answers with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data import ReferringTarget, Sample
from text4seg.evaluation.journal import Journal
from text4seg.evaluation.judge import Answer, Truth, judge
from text4seg.evaluation.rows import Row
from text4seg.segmenter import Segmentation, Segmenter


@dataclass(frozen=True, slots=True)
class Share:
    """Which samples this process answers: every `of`-th one, from the `process`-th on."""

    process: int = 0
    of: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An image with what is asked of it.

    Attributes:
        sample: The image and the questions.
        image: How the image is named in rows.
        first: The place of its first question in the data set.
    """

    sample: Sample
    image: str
    first: int

    def truths(self) -> list[Truth]:
        """The questions with their true masks, drawn from the annotations now."""
        masks = [asked.mask for asked in self.sample.targets if asked.mask is not None]
        size = self.sample.size or (masks[0].size if masks else None)
        return [
            Truth.of(asked, self.first + at, self.image, size)
            for at, asked in enumerate(self.sample.targets)
        ]


def questions_of(
    samples: Iterable[Sample], *, root: Path | None = None, limit: int | None = None
) -> Iterator[Question]:
    """The questions of a data set, numbered, up to a limit.

    Images below `root` are named from there on, so that rows do not depend on the machine.
    """
    first = 0
    for sample in samples:
        if limit is not None:
            if first >= limit:
                return
            sample = replace(sample, targets=sample.targets[: limit - first])  # noqa: PLW2901
        image = sample.image
        if root is not None and image.is_relative_to(root):
            image = image.relative_to(root)
        yield Question(sample, image.as_posix(), first)
        first += len(sample.targets)


def evaluate(
    segmenter: Segmenter,
    questions: Iterable[Question],
    *,
    journal: Journal | None = None,
    share: Share | None = None,
    outline: bool = False,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Answer all questions, each image opened once, and judge every answer.

    Args:
        segmenter: The one to evaluate.
        questions: Images with their questions.
        journal: Keeps every sample's rows as soon as they are there; what it has is not asked
            again.
        share: Which samples to answer; by default all.
        outline: Measure boundary F too.
        on_row: Told of every row, those that were there before too.

    Returns:
        The rows of this share.

    Raises:
        InputError: An image turns out to be broken, or the journal is that of other questions.
    """
    share = share or Share()
    rows: list[Row] = []
    for number, question in enumerate(questions):
        if number % share.of != share.process:
            continue
        there = _there(question, journal)
        fresh = there is None
        new = _answer(segmenter, question, outline=outline) if there is None else there
        if fresh and journal is not None:
            journal.append(new)
        for row in new:
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return rows


def _there(question: Question, journal: Journal | None) -> list[Row] | None:
    """The rows of a sample that a journal has; None unless it has all of them."""
    if journal is None:
        return None
    rows = []
    for index, asked in enumerate(question.sample.targets, start=question.first):
        row = journal.done.get(index)
        if row is None:
            return None
        if (row.image, row.expression) != (question.image, asked.expression):
            raise InputError(
                f"{journal.path.parent} has {row.expression!r} of {row.image} as question {index}, "
                f"and the data set {asked.expression!r} of {question.image}: the data have changed "
                "since the run was begun"
            )
        rows.append(row)
    return rows


def _answer(segmenter: Segmenter, question: Question, *, outline: bool) -> list[Row]:
    sample = question.sample
    image = sample.open_image()
    size = Size(image.height, image.width)
    answers = segmenter.segment_many(image, [asked.expression for asked in sample.targets])
    rows = []
    for asked, truth, answer in zip(sample.targets, question.truths(), answers, strict=True):
        if asked.mask is not None and asked.mask.size != size:
            raise InputError(f"{asked.source}: the mask is {asked.mask.size} and the image {size}")
        rows.append(judge(truth, Answer.of(answer), outline=outline))
    return rows


def score(asked: ReferringTarget, segmentation: Segmentation) -> Row:
    """Compare one answer with the truth."""
    size = Size(*segmentation.mask.shape)
    return judge(Truth.of(asked, 0, asked.source, size), Answer.of(segmentation))
