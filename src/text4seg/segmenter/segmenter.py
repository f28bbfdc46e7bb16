"""The main path: an image and an expression in, a mask out.

The model encodes the image once and writes the mask as text under a grammar; the text becomes a
grid, the probabilities of its tokens become those of its cells, and a refiner makes pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from text4seg import models
from text4seg.codec import Format, get_format
from text4seg.core.errors import InputError, LabelError, Text4SegError
from text4seg.core.types import DescriptorGrid, GridShape, check_label, clean_label
from text4seg.decoding import DecodingOptions, MeasuredPassCost, PassCost, decode_batch
from text4seg.images import open_image, to_rgb
from text4seg.refine import Refiner, get_refiner
from text4seg.segmenter.generation import GeneratedMask, MaskGenerator
from text4seg.segmenter.segmentation import Segmentation, SegmentationStats
from text4seg.segmenter.streaming import LineReader, PartialMask, in_background
from text4seg.segmenter.vqa import MAX_ANSWER_TOKENS, Answer, answer_question, check_question

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models import ImageSession, VisionLanguageModel
    from text4seg.refine import RefineMask

    ImageSource = Image | str | PathLike[str]


class Segmenter:
    """Segments images by expressions with one model, one grid, one format and one refiner.

    Args:
        model: The model.
        refiner: What makes pixels of cells: a refiner or its name in `REFINERS`.
        grid: Rows x columns, such as `16x16`; by default what the model was trained with. For the
            format `box` it is the grid inside each box.
        format: The text format; by default what the model was trained with.
        options: How tokens are chosen and drafted.
        pass_cost: What forward passes cost; by default it is learned from the passes made.

    Attributes:
        shape: The grid.
        generator: What writes masks with these settings.

    Raises:
        InputError: The grid is not one.
        UnknownNameError: There is no such format, refiner or draft.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        *,
        refiner: str | Refiner = "none",
        grid: str | GridShape | None = None,
        format: str | None = None,  # noqa: A002 - the word the command line uses too
        options: DecodingOptions | None = None,
        pass_cost: PassCost | MeasuredPassCost | None = None,
    ) -> None:
        self.model = model
        grid = grid or model.defaults.grid
        self.shape = GridShape.parse(grid) if isinstance(grid, str) else grid
        self.format: Format[Any] = get_format(format or model.defaults.format)
        self.generator = MaskGenerator(
            self.shape,
            self.format,
            capabilities=model.capabilities,
            options=options,
            pass_cost=pass_cost,
        )
        self._refiner = get_refiner(refiner) if isinstance(refiner, str) else refiner

    @classmethod
    def from_pretrained(
        cls,
        name: str = "nano",
        *,
        refiner: str | Refiner = "none",
        grid: str | GridShape | None = None,
        format: str | None = None,  # noqa: A002
        options: DecodingOptions | None = None,
    ) -> Segmenter:
        """Load a model and make a segmenter of it.

        Args:
            name: `nano`, or a folder of a model or an adapter.
            refiner: As for the class.
            grid: As for the class.
            format: As for the class.
            options: As for the class.

        Returns:
            The segmenter.

        Raises:
            UnknownNameError: There is no such model, format, refiner or draft.
            WeightsError: The weights are missing or damaged.
            MissingExtraError: A package that the model needs is not installed.
        """
        model = models.load(name)
        return cls(model, refiner=refiner, grid=grid, format=format, options=options)

    @property
    def deviations(self) -> tuple[str, ...]:
        """How the grid and the format differ from what the model was trained with, in sentences.

        Masks are then worse than they could be; callers should tell their users.
        """
        if self.model.capabilities.any_layout:
            return ()
        defaults = self.model.defaults
        pairs = (
            ("grid", str(self.shape), str(defaults.grid)),
            ("format", self.format.name, defaults.format),
        )
        return tuple(
            f"the {what} is {asked}, and the model was trained with {trained}"
            for what, asked, trained in pairs
            if asked != trained
        )

    def __call__(
        self, image: ImageSource, expression: str, *, previous: DescriptorGrid | None = None
    ) -> Segmentation:
        """Segment what an expression names in an image.

        Args:
            image: A PIL image or a path.
            expression: What to segment, such as `the dog on the left`.
            previous: The grid of the previous video frame. It makes the drafts `auto` and
                `previous` faster; it does not change the mask.

        Returns:
            The mask in pixels with everything that is known of it.

        Raises:
            InputError: The image cannot be used, or the previous grid has another shape.
            LabelError: The expression cannot be a label; the error proposes one that can.
            DecodingError: The model broke its contract, or the mask does not fit its context.
            GrammarError: The model's vocabulary cannot write this mask.
        """
        check_expression(expression)
        encoded = self._encode(image)
        return self._segment(encoded, expression, before=encoded.seconds, previous=previous)

    def segment_many(self, image: ImageSource, expressions: Sequence[str]) -> list[Segmentation]:
        """Segment several expressions in one image, which is encoded once.

        With the draft `previous` each mask is drafted from the one before it.

        Args:
            image: A PIL image or a path.
            expressions: What to segment.

        Returns:
            A segmentation for each expression, in order.

        Raises:
            InputError: As for one expression; so for the other errors.
        """
        for expression in expressions:
            check_expression(expression)
        encoded = self._encode(image)
        share = encoded.seconds / max(1, len(expressions))
        results: list[Segmentation] = []
        for expression in expressions:
            chained = results and self.generator.options.draft == "previous"
            previous = results[-1].grid if chained else None
            results.append(self._segment(encoded, expression, before=share, previous=previous))
        return results

    def batch(self, questions: Sequence[tuple[ImageSource, str]]) -> list[Segmentation]:
        """Segment (image, expression) pairs together; their forward passes are shared.

        A model that cannot share passes is asked one pair after the other.

        Args:
            questions: Pairs of an image (or its path) and an expression.

        Returns:
            For each pair what it gets alone, in order; `stats.seconds` is its share of the whole.

        Raises:
            InputError: As for one pair; so for the other errors. The first error is raised once
                all other pairs are done.
        """
        for _, expression in questions:
            check_expression(expression)
        if len(questions) < 2 or not self.model.capabilities.batch:
            return [self(image, expression) for image, expression in questions]
        started = time.perf_counter()
        jobs = [
            (self._encode(image), expression, self.generator) for image, expression in questions
        ]
        return self._segment_together(jobs, started)

    def sample(self, image: ImageSource, expression: str, count: int) -> list[Segmentation]:
        """Sample several masks of one expression from the model's distribution.

        Temperature and seed are those of the options (1 if there is none); sample number n has the
        seed n above. Where samples differ the model is uncertain: their mean is a soft mask of
        whole masks, where `Segmentation.probability` is one of single cells.

        Args:
            image: A PIL image or a path.
            expression: What to segment.
            count: How many masks.

        Returns:
            The masks.

        Raises:
            InputError: `count` is below 1, or the model is text-only.
        """
        check_expression(expression)
        if count < 1:
            raise InputError(f"at least one mask is sampled, got {count}")
        if self.model.capabilities.text_only:
            raise InputError("a text-only model cannot be sampled from here; ask it again")
        started = time.perf_counter()
        encoded = self._encode(image)
        generators = [self.generator.for_sample(number) for number in range(count)]
        if count > 1 and self.model.capabilities.batch:
            return self._segment_together([(encoded, expression, g) for g in generators], started)
        share = encoded.seconds / count
        return [
            self._segment(encoded, expression, before=share, generator=one) for one in generators
        ]

    def ask(
        self, image: ImageSource, question: str, *, max_tokens: int = MAX_ANSWER_TOKENS
    ) -> Answer:
        """Ask a question whose answer is words, not a mask: how many, which color, is there one.

        The question goes to the model in the same chat template as mask questions, under no
        grammar; the likeliest token is taken until the model ends its answer. The model card tells
        what nano can answer.

        Args:
            image: A PIL image or a path.
            question: The question.
            max_tokens: Where to stop.

        Returns:
            The answer.

        Raises:
            InputError: The image or the question cannot be used, or the model writes masks only.
            WeightsError: The weights were not trained to answer in words.
        """
        return self.ask_many(image, [question], max_tokens=max_tokens)[0]

    def ask_many(
        self,
        image: ImageSource,
        questions: Sequence[str],
        *,
        max_tokens: int = MAX_ANSWER_TOKENS,
    ) -> list[Answer]:
        """Ask several questions about one image, which is encoded once.

        Args:
            image: A PIL image or a path.
            questions: The questions.
            max_tokens: Where to stop each answer.

        Returns:
            The answers, in order.

        Raises:
            InputError: As for one question; so for the other errors.
        """
        for question in questions:
            check_question(question)
        if max_tokens < 1:
            raise InputError(f"an answer has at least one token, got max_tokens={max_tokens}")
        rgb = _load(image)
        started = time.perf_counter()
        session = self.model.encode_image(rgb)
        share = (time.perf_counter() - started) / max(1, len(questions))
        capabilities = self.model.capabilities
        answers = [
            answer_question(session, question, capabilities=capabilities, max_tokens=max_tokens)
            for question in questions
        ]
        return [replace(one, seconds=one.seconds + share) for one in answers]

    def stream(
        self, image: ImageSource, expression: str, *, previous: DescriptorGrid | None = None
    ) -> Iterator[PartialMask]:
        """Segment one expression and report each line of the mask when it is written.

        Closing the iterator early stops the model after its current pass.

        Args:
            image: A PIL image or a path.
            expression: What to segment.
            previous: As for a call.

        Yields:
            A state for each complete line; the last one carries the finished segmentation.

        Raises:
            InputError: As for a call; so for the other errors.
        """
        check_expression(expression)
        encoded = self._encode(image)

        def work(on_text: Callable[[bytes], None]) -> Segmentation:
            return self._segment(
                encoded, expression, before=encoded.seconds, previous=previous, on_text=on_text
            )

        lines = LineReader(self.format, self.shape, expression)
        count = self.format.syntax.line_shape(self.shape).rows
        for item in in_background(work):
            if isinstance(item, Segmentation):
                yield PartialMask(item.text, item.grid, count, item)
            else:
                yield from lines.new_in(item)

    def _segment_together(
        self, jobs: Sequence[tuple[_EncodedImage, str, MaskGenerator]], started: float
    ) -> list[Segmentation]:
        """Segment in shared passes; the time counts from `started`."""
        prepared = [
            generator.prepare(encoded.session, expression, batched=True)
            for encoded, expression, generator in jobs
        ]
        step = self.model.batch([one.prompt for one in prepared])
        results = decode_batch(step, [one.task for one in prepared])
        segmentations = []
        for one, decoded, (encoded, expression, generator) in zip(
            prepared, results, jobs, strict=True
        ):
            if isinstance(decoded, Text4SegError):
                raise decoded
            generated = generator.read(decoded, one)
            share = (time.perf_counter() - started) / len(jobs)
            segmentations.append(self._refine(encoded, expression, generated, share))
        return segmentations

    def _encode(self, image: ImageSource) -> _EncodedImage:
        rgb = _load(image)
        started = time.perf_counter()
        session = self.model.encode_image(rgb)
        seconds = time.perf_counter() - started
        return _EncodedImage(rgb, session, self._refiner.prepare(rgb), seconds)

    def _segment(
        self,
        encoded: _EncodedImage,
        expression: str,
        *,
        before: float,
        previous: DescriptorGrid | None = None,
        on_text: Callable[[bytes], None] | None = None,
        generator: MaskGenerator | None = None,
    ) -> Segmentation:
        """One expression; `before` is its share of the time that encoding the image took."""
        started = time.perf_counter()
        generated = (generator or self.generator).generate(
            encoded.session, expression, previous=previous, on_text=on_text
        )
        seconds = before + time.perf_counter() - started
        return self._refine(encoded, expression, generated, seconds)

    def _refine(
        self, encoded: _EncodedImage, expression: str, generated: GeneratedMask, seconds: float
    ) -> Segmentation:
        """From cells to pixels; `seconds` is what was spent before."""
        started = time.perf_counter()
        refined = encoded.refine(generated.probability)
        cells, costs = generated.grid.select(expression), generated.costs
        stats = SegmentationStats(
            grid=str(self.shape),
            format=self.format.name,
            tokens=costs.tokens,
            passes=costs.passes,
            forced=costs.forced,
            drafted=costs.drafted,
            accepted=costs.accepted,
            seconds=seconds + time.perf_counter() - started,
            share=float(refined.mask.mean()),
            score=float(generated.probability[cells].mean()) if cells.any() else 0.0,
            no_target_probability=generated.no_target_probability,
        )
        return Segmentation(
            expression=expression,
            text=generated.text,
            grid=generated.grid,
            probability=generated.probability,
            mask=refined.mask,
            repairs=generated.repairs,
            validity=generated.validity,
            notes=refined.notes,
            stats=stats,
            image=encoded.image,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _EncodedImage:
    """An image that the model and the refiner hold, for any number of expressions."""

    image: Image
    session: ImageSession
    refine: RefineMask
    seconds: float


def _load(image: ImageSource) -> Image:
    return open_image(image) if isinstance(image, str | PathLike) else to_rgb(image)


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
