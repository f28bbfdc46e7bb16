"""The main path: an image and an expression in, a mask out.

The way of an image: the model opens it once, writes the mask as text under a grammar, the text
becomes a grid, the probabilities of its tokens those of its cells, and a refiner makes pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

from text4seg import models
from text4seg.codec import Format
from text4seg.core.errors import InputError, LabelError, Text4SegError
from text4seg.core.types import DescriptorGrid, GridShape, check_label, clean_label
from text4seg.decoding import MeasuredPassCost, PassCost, decode_batch
from text4seg.images import open_image, to_rgb
from text4seg.refine import Refiner, get_refiner
from text4seg.segmenter.answering import MAX_TOKENS, Answer, check_question, reply
from text4seg.segmenter.boxes import format_on_image
from text4seg.segmenter.generation import Choices, GeneratedMask, MaskGenerator, WritingSession
from text4seg.segmenter.segmentation import Segmentation, SegmentationStats
from text4seg.segmenter.streaming import RowsOf, Streamed, in_background

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models import Session, VisionLanguageModel
    from text4seg.refine import RefineMask


class Segmenter:
    """Segments images by expressions with one model, one grid and one refiner.

    Args:
        chat: The model.
        refiner: What makes pixels of cells: a refiner or its name.
        grid: Rows x columns, such as `16x16`.
        format: The text format the model writes; its own by default. With `box` the grid is that
            inside each box, and the cells of an answer are those of `boxes.FINE`.
        draft: How tokens are guessed ahead; changes the time taken, never the text.
        choices: How tokens are chosen: run lengths by their median, a bias of the background,
            or drawn.
        pass_cost: How far to draft; by default learned from the passes made.

    Raises:
        InputError: The grid is not one.
        UnknownNameError: There is no such format, refiner or draft.
    """

    def __init__(  # noqa: PLR0913 - a model and what may be said about it
        self,
        chat: VisionLanguageModel,
        *,
        refiner: str | Refiner = "none",
        grid: str | GridShape = "16x16",
        format: str | None = None,  # noqa: A002 - the word the command line uses too
        draft: str = "auto",
        choices: Choices | None = None,
        pass_cost: PassCost | MeasuredPassCost | None = None,
    ) -> None:
        self.chat = chat
        self.shape = GridShape.parse(grid) if isinstance(grid, str) else grid
        self.format: Format = format_on_image(format or chat.default_format)
        self.writer = MaskGenerator(
            self.shape, self.format, draft=draft, choices=choices or Choices(), pass_cost=pass_cost
        )
        self._refine = get_refiner(refiner) if isinstance(refiner, str) else refiner

    @classmethod
    def from_pretrained(
        cls,
        name: str = "nano",
        *,
        refiner: str | Refiner = "none",
        grid: str | GridShape = "16x16",
        format: str | None = None,  # noqa: A002
        draft: str = "auto",
        choices: Choices | None = None,
    ) -> Segmenter:
        """Load a model by name or folder and make a segmenter of it.

        Raises:
            UnknownNameError, WeightsError, MissingExtraError: The model cannot be had.
        """
        chat = models.load(name)
        return cls(chat, refiner=refiner, grid=grid, format=format, draft=draft, choices=choices)

    def __call__(
        self,
        image: Image | str | PathLike[str],
        expression: str,
        *,
        previous: DescriptorGrid | None = None,
    ) -> Segmentation:
        """Segment what the expression names in an image, given as such or as a path.

        `previous`, the grid of the video frame before, makes the drafts `auto` and `previous`
        faster; it does not change the mask.

        Raises:
            InputError: The image cannot be used, or the previous grid has another shape.
            LabelError: The expression cannot be a label; the error proposes one that can.
            DecodingError, GrammarError: The model cannot write this mask.
        """
        check_expression(expression)
        opened = self._open(image)
        return self._answer(opened, expression, opening=opened.seconds, previous=previous)

    def segment_many(
        self, image: Image | str | PathLike[str], expressions: Sequence[str]
    ) -> list[Segmentation]:
        """Segment several expressions; the image is encoded and prefilled once for all of them.

        With the draft `previous` each mask is drafted from the one before it.
        """
        for expression in expressions:
            check_expression(expression)
        opened = self._open(image)
        share = opened.seconds / max(1, len(expressions))
        answers: list[Segmentation] = []
        for expression in expressions:
            chained = answers and self.writer.draft == "previous"
            previous = answers[-1].grid if chained else None
            answers.append(self._answer(opened, expression, opening=share, previous=previous))
        return answers

    def segment_batch(
        self, questions: Sequence[tuple[Image | str | PathLike[str], str]]
    ) -> list[Segmentation]:
        """Segment (image, expression) pairs together: their passes are shared.

        The answers are those that each pair gets alone, in order; `stats.seconds` is a pair's
        share of the whole. A model that cannot share passes is asked one pair after the other.

        Raises:
            As for one question. The first error is raised once all others are answered.
        """
        for _, expression in questions:
            check_expression(expression)
        if len(questions) < 2 or not hasattr(self.chat, "join"):
            return [self(image, expression) for image, expression in questions]
        started = time.perf_counter()
        tasks = [(self._open(image), expression, self.writer) for image, expression in questions]
        return self._together(tasks, started)

    def draw(
        self, image: Image | str | PathLike[str], expression: str, count: int
    ) -> list[Segmentation]:
        """Draw several masks of one expression, as often as the model holds them probable.

        Temperature and seed are those of `choices` (1 if there is none); draw number n has the seed
        n above. Where draws differ the model is unsure: their mean is a soft mask of whole masks,
        where `Segmentation.probability` is one of single cells. Passes are shared if the model can.

        Raises:
            InputError: There is nothing to draw, or the model returns text alone.
        """
        check_expression(expression)
        if count < 1:
            raise InputError(f"at least one mask is drawn, got {count}")
        started = time.perf_counter()
        opened = self._open(image)
        if isinstance(opened.session, WritingSession):
            raise InputError("a model that returns text alone cannot be drawn from; ask it again")
        writers = [self.writer.drawing(number) for number in range(count)]
        if count > 1 and hasattr(self.chat, "join"):
            return self._together([(opened, expression, one) for one in writers], started)
        share = opened.seconds / count
        return [self._answer(opened, expression, opening=share, writer=one) for one in writers]

    def answer(
        self, image: Image | str | PathLike[str], question: str, *, max_tokens: int = MAX_TOKENS
    ) -> Answer:
        """Ask a question whose answer is words, not a mask: how many, which color, is there one.

        The question goes to the model as it is, in the chat template that it has for masks, and
        under no grammar; always the likeliest token is taken, until the model ends its answer. A
        local model sees the image as it does in training: stretched to its square. What nano can
        answer, its model card tells.

        Raises:
            InputError: The image or the question cannot be used, or the model writes masks only.
            WeightsError: The weights were not taught to answer in words.
        """
        return self.answer_many(image, [question], max_tokens=max_tokens)[0]

    def answer_many(
        self,
        image: Image | str | PathLike[str],
        questions: Sequence[str],
        *,
        max_tokens: int = MAX_TOKENS,
    ) -> list[Answer]:
        """Answer several questions; the image is encoded once for all of them."""
        for question in questions:
            check_question(question)
        if max_tokens < 1:
            raise InputError(f"an answer has at least one token, got max_tokens={max_tokens}")
        rgb = open_image(image) if isinstance(image, str | PathLike) else to_rgb(image)
        started = time.perf_counter()
        session = self.chat.open(rgb)
        share = (time.perf_counter() - started) / max(1, len(questions))
        answers = [reply(session, question, max_tokens=max_tokens) for question in questions]
        return [replace(one, seconds=one.seconds + share) for one in answers]

    def _together(
        self, tasks: Sequence[tuple[_Opened, str, MaskGenerator]], started: float
    ) -> list[Segmentation]:
        """Answer questions in shared passes; their time counts from `started`."""
        asked = [writer.ask(opened.session, expression) for opened, expression, writer in tasks]
        jobs = [
            writer.job(one, expression, shared=True)
            for one, (_, expression, writer) in zip(asked, tasks, strict=True)
        ]
        results = decode_batch(self.chat.join(asked), jobs)  # type: ignore[attr-defined]
        answers = []
        for one, job, decoded, (opened, expression, writer) in zip(
            asked, jobs, results, tasks, strict=True
        ):
            if isinstance(decoded, Text4SegError):
                raise decoded
            written = writer.read(decoded, job.vocabulary, expression, label=one.label)
            share = (time.perf_counter() - started) / len(tasks)
            answers.append(self._refined(opened, expression, written, share))
        return answers

    def stream(
        self,
        image: Image | str | PathLike[str],
        expression: str,
        *,
        previous: DescriptorGrid | None = None,
    ) -> Iterator[Streamed]:
        """Segment one expression and tell of each row when it is written.

        Closing the iterator early stops the model after its current pass.
        """
        check_expression(expression)
        opened = self._open(image)

        def answer(tell: Callable[[bytes], None]) -> Segmentation:
            return self._answer(
                opened, expression, opening=opened.seconds, previous=previous, tell=tell
            )

        rows = RowsOf(self.format, self.shape, expression)
        for told in in_background(answer):
            if isinstance(told, Segmentation):
                yield Streamed(told.text, told.grid, self.shape.rows, told)
            else:
                yield from rows.new_in(told)

    def _open(self, image: Image | str | PathLike[str]) -> _Opened:
        rgb = open_image(image) if isinstance(image, str | PathLike) else to_rgb(image)
        started = time.perf_counter()
        session = self.chat.open(rgb)
        seconds = time.perf_counter() - started
        return _Opened(rgb, session, self._refine.prepare(rgb), seconds)

    def _answer(
        self,
        opened: _Opened,
        expression: str,
        *,
        opening: float,
        previous: DescriptorGrid | None = None,
        tell: Callable[[bytes], None] | None = None,
        writer: MaskGenerator | None = None,
    ) -> Segmentation:
        started = time.perf_counter()
        write = (writer or self.writer).write
        written = write(opened.session, expression, previous=previous, tell=tell)
        return self._refined(opened, expression, written, opening + time.perf_counter() - started)

    def _refined(
        self, opened: _Opened, expression: str, written: GeneratedMask, seconds: float
    ) -> Segmentation:
        """From cells to pixels; `seconds` is what went before."""
        started = time.perf_counter()
        refined = opened.refine(written.probability)
        cells = written.grid.select(expression)
        stats = SegmentationStats(
            grid=str(self.shape),
            format=self.format.name,
            tokens=written.costs.tokens,
            passes=written.costs.passes,
            forced=written.costs.forced,
            drafted=written.costs.drafted,
            accepted=written.costs.accepted,
            seconds=seconds + time.perf_counter() - started,
            share=float(refined.mask.mean()),
            score=float(written.probability[cells].mean()) if cells.any() else 0.0,
            no_target=written.no_target,
        )
        return Segmentation(
            expression=expression,
            text=written.text,
            grid=written.grid,
            probability=written.probability,
            mask=refined.mask,
            repairs=written.repairs,
            validity=written.validity,
            notes=refined.notes,
            stats=stats,
            image=opened.image,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """An image that the model and the refiner look at, for any number of expressions."""

    image: Image
    session: Session
    refine: RefineMask
    seconds: float


def check_expression(expression: str) -> None:
    """Check that an expression can stand in the text as its own label.

    Raises:
        LabelError: It cannot; where it can be mended the message says how it would read.
    """
    try:
        check_label(expression)
    except LabelError as error:
        try:
            mended, _ = clean_label(expression)
        except LabelError:
            raise error from None
        raise LabelError(f"{error}; write {mended!r} instead") from None
