"""The main path: a photo and an expression in, a mask out.

The way of a photo: the model opens it once, writes the mask as text under a grammar, the text
becomes a grid, the probabilities of its tokens those of its cells, and a refiner makes pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32

from text4seg import models, prompts
from text4seg.codec import Format, Repair, get_format
from text4seg.codec.answer import find_body
from text4seg.core.errors import LabelError, MaskSyntaxError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, check_label, clean_label
from text4seg.decoding import (
    DecodingStats,
    Vocabulary,
    cell_probabilities,
    compile_grammar,
    decode,
    make_drafter,
)
from text4seg.pictures import open_image, to_rgb
from text4seg.refine import Refiner, get_refiner, open_photo
from text4seg.segmenter.segmentation import Segmentation, SegmentationStats, Validity
from text4seg.segmenter.streaming import RowsOf, Streamed, in_background

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models import Session, TokenTable, VisionChat
    from text4seg.refine import RefineMask


@runtime_checkable
class WritingSession(Protocol):
    """A photo opened by a model that only returns text, such as one behind a server.

    It may honour the grammar or not: what it writes is salvaged if need be.
    """

    def write(self, question: str, answer_prefix: str, *, grammar: str) -> str:
        """The model's answer after the prefix, whatever it is; the grammar is GBNF."""
        ...


class Segmenter:
    """Segments photos by expressions with one model, one grid and one refiner.

    Args:
        chat: The model.
        refiner: What makes pixels of cells: a refiner or its name.
        grid: Rows x columns, such as `16x16`.
        format: The text format the model writes; its own by default.
        draft: How tokens are guessed ahead; changes the time taken, never the text.

    Raises:
        InputError: The grid is not one.
        UnknownNameError: There is no such format, refiner or draft.
    """

    def __init__(
        self,
        chat: VisionChat,
        *,
        refiner: str | Refiner = "none",
        grid: str | GridShape = "16x16",
        format: str | None = None,  # noqa: A002 - the word the command line uses too
        draft: str = "row",
    ) -> None:
        self.chat = chat
        self.shape = GridShape.parse(grid) if isinstance(grid, str) else grid
        self.format: Format = get_format(format or chat.default_format)
        self.draft = make_drafter(draft, self.shape)
        self._refine = get_refiner(refiner) if isinstance(refiner, str) else refiner
        self._vocabulary: tuple[TokenTable, Vocabulary] | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str = "nano",
        *,
        refiner: str | Refiner = "none",
        grid: str | GridShape = "16x16",
        format: str | None = None,  # noqa: A002
        draft: str = "row",
    ) -> Segmenter:
        """Load a model by name or folder and make a segmenter of it.

        Raises:
            UnknownNameError, WeightsError, MissingExtraError: The model cannot be had.
        """
        chat = models.load(name)
        return cls(chat, refiner=refiner, grid=grid, format=format, draft=draft)

    def __call__(self, image: Image | str | PathLike[str], expression: str) -> Segmentation:
        """Segment what the expression names in a photo, given as such or as a path.

        Raises:
            InputError: The photo cannot be used.
            LabelError: The expression cannot be a label; the error proposes one that can.
        """
        return self.segment_many(image, [expression])[0]

    def segment_many(
        self, image: Image | str | PathLike[str], expressions: Sequence[str]
    ) -> list[Segmentation]:
        """Segment several expressions; the photo is encoded and prefilled once for all of them."""
        for expression in expressions:
            check_expression(expression)
        opened = self._open(image)
        share = opened.seconds / max(1, len(expressions))
        return [self._answer(opened, text, opening=share) for text in expressions]

    def stream(self, image: Image | str | PathLike[str], expression: str) -> Iterator[Streamed]:
        """Segment one expression and tell of each row when it is written.

        Closing the iterator early stops the model after its current pass.
        """
        check_expression(expression)
        opened = self._open(image)

        def answer(tell: Callable[[bytes], None]) -> Segmentation:
            return self._answer(opened, expression, opening=opened.seconds, tell=tell)

        rows = RowsOf(self.format, self.shape, expression)
        for told in in_background(answer):
            if isinstance(told, Segmentation):
                yield Streamed(told.text, told.grid, self.shape.rows, told)
            else:
                yield from rows.new_in(told)

    def _open(self, image: Image | str | PathLike[str]) -> _Opened:
        photo = open_image(image) if isinstance(image, str | PathLike) else to_rgb(image)
        started = time.perf_counter()
        session = self.chat.open(photo)
        seconds = time.perf_counter() - started
        return _Opened(photo, session, open_photo(self._refine, photo), seconds)

    def _answer(
        self,
        opened: _Opened,
        expression: str,
        *,
        opening: float,
        tell: Callable[[bytes], None] | None = None,
    ) -> Segmentation:
        started = time.perf_counter()
        question = prompts.question(expression)
        session = opened.session
        if isinstance(session, WritingSession):
            written = self._salvaged(session, question, expression)
        else:
            written = self._steered(session, question, expression, tell)
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
            seconds=opening + time.perf_counter() - started,
            share=float(refined.mask.mean()),
            score=float(written.probability[cells].mean()) if cells.any() else 0.0,
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
            image=opened.photo,
        )

    def _steered(
        self,
        session: Session,
        question: str,
        expression: str,
        tell: Callable[[bytes], None] | None,
    ) -> _Written:
        """Write under the grammar: the text is valid whatever the model would rather say."""
        grid_sides = (self.shape.rows, self.shape.cols)
        asked = session.ask(question, prompts.ANSWER_PREFIX, grid=grid_sides)
        vocabulary = self._vocabulary_of(asked.vocabulary)
        grammar = compile_grammar(self.format.grammar(self.shape, (expression,)), vocabulary)
        text = bytearray()

        def on_tokens(tokens: tuple[int, ...]) -> None:
            if tell is not None:
                text.extend(vocabulary.decode(tokens))
                tell(bytes(text))

        decoded = decode(
            asked.step,
            asked.first_logits,
            vocabulary,
            grammar,
            draft=self.draft,
            bias=asked.bias,
            on_tokens=on_tokens,
        )
        body = vocabulary.decode(decoded.tokens)
        grid = self.format.decode(body.decode(), self.shape, (expression,))
        shares = cell_probabilities(
            decoded,
            vocabulary,
            self.shape,
            labels=(OTHERS, expression),
            format_name=self.format.name,
        )
        probability = _agreeing(shares[1], grid.select(expression))
        return _Written(body.decode(), grid, probability, decoded.stats)

    def _vocabulary_of(self, table: TokenTable) -> Vocabulary:
        """The model's tokens as decoding knows them; built once a tokenizer, with its grammars."""
        if self._vocabulary is None or self._vocabulary[0] is not table:
            vocabulary = Vocabulary(table.tokens, table.eos, table.encode, special=table.special)
            self._vocabulary = (table, vocabulary)
        return self._vocabulary[1]

    def _salvaged(self, session: WritingSession, question: str, expression: str) -> _Written:
        """Let the model write and make the best of it."""
        grammar = self.format.grammar(self.shape, (expression,), "gbnf")
        started = time.perf_counter()
        answer = session.write(question, prompts.ANSWER_PREFIX, grammar=grammar)
        seconds = time.perf_counter() - started
        text = find_body(answer)
        validity: Validity = "strict"
        repairs: tuple[Repair, ...] = ()
        try:
            grid = self.format.decode(text, self.shape, (expression,))
        except MaskSyntaxError:
            saved = self.format.salvage(text, self.shape, (expression,))
            grid, repairs = saved.grid, saved.repairs
            nothing = self.format.salvage("", self.shape, (expression,))
            validity = "hopeless" if _by_row(repairs) == _by_row(nothing.repairs) else "salvaged"
        probability = grid.select(expression).astype(np.float32)
        costs = DecodingStats(0, 0, 0, 0, 0, 0, seconds)
        return _Written(text, grid, probability, costs, repairs, validity)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A photo that the model and the refiner look at, for any number of expressions."""

    photo: Image
    session: Session
    refine: RefineMask
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """A mask text, read."""

    text: str
    grid: DescriptorGrid
    probability: Float32[np.ndarray, "rows cols"]
    costs: DecodingStats
    repairs: tuple[Repair, ...] = ()
    validity: Validity = "strict"


def _by_row(repairs: Sequence[Repair]) -> list[Repair]:
    """The repairs of rows; where they are those of an empty text, no row could be read."""
    return [repair for repair in repairs if repair.row is not None]


def _agreeing(
    probability: Float32[np.ndarray, "rows cols"], cells: Bool[np.ndarray, "rows cols"]
) -> Float32[np.ndarray, "rows cols"]:
    """The probability, held on the text's side of one half.

    A run takes its likeliest length, its cells the whole distribution of lengths: near the end of
    a run, and under a bias, the two may disagree, and the text is what the model said.
    """
    lower = np.where(cells, 0.5, 0.0)
    upper = np.where(cells, 1.0, np.nextafter(np.float32(0.5), np.float32(0.0)))
    return np.asarray(np.clip(probability, lower, upper), dtype=np.float32)


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
