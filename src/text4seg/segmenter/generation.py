"""From an opened image and an expression to a mask text, its grid and its probabilities."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, overload, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32

from text4seg import prompts
from text4seg.codec import Format, Repair
from text4seg.codec.answer import find_body
from text4seg.core.errors import InputError, MaskSyntaxError, UnknownNameError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape
from text4seg.decoding import (
    ContextError,
    Decoded,
    DecodingStats,
    DraftContext,
    How,
    Job,
    MeasuredPassCost,
    MedianCounts,
    PassCost,
    Sampling,
    Vocabulary,
    background_bias,
    cell_probabilities,
    check_draft,
    compile_mask_grammar,
    decode,
    make_drafter,
    no_target_probability,
)
from text4seg.segmenter.boxes import BoxesOnImage
from text4seg.segmenter.segmentation import Validity

if TYPE_CHECKING:
    from text4seg.models import PreparedPrompt, Session, TokenTable

Runs = Literal["likeliest", "median"]
RUNS: tuple[Runs, ...] = ("likeliest", "median")


@runtime_checkable
class WritingSession(Protocol):
    """An image opened by a model that only returns text, such as one behind a server.

    It may honour the grammar or not: what it writes is salvaged if need be.
    """

    def write(self, question: str, answer_prefix: str, *, grammar: str) -> str:
        """The model's answer after the prefix, whatever it is; the grammar is GBNF."""
        ...


@dataclass(frozen=True, slots=True)
class Choices:
    """How tokens are chosen where the likeliest ones are not the best answer.

    Attributes:
        runs: `likeliest` digits, or each run to the `median` of its length's distribution, which
            takes a few passes more. Flat text (`sd`) has no run lengths.
        background_bias: Added to the log-odds of the word others, on top of the model's own
            calibration: below zero marks more cells, above fewer. With `median` it also moves
            where runs end.
        temperature: Where it is given, tokens are drawn instead: at 1 as often as the model holds
            them probable, below it nearer to the likeliest, above it further off.
        seed: The same seed draws the same mask, with every draft.

    Raises:
        UnknownNameError: There are no such runs.
        InputError: The bias is not a finite number, the temperature not one above zero, or runs
            are both to be drawn and to be taken at the median.
    """

    runs: Runs = "likeliest"
    background_bias: float = 0.0
    temperature: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.runs not in RUNS:
            raise UnknownNameError("way to take run lengths", str(self.runs), RUNS)
        if not np.isfinite(self.background_bias):
            raise InputError(f"a bias is a finite number, got {self.background_bias}")
        if self.sampling is not None and self.runs == "median":
            raise InputError("run lengths are either drawn or taken at the median, not both")

    @property
    def sampling(self) -> Sampling | None:
        """How tokens are drawn, if they are."""
        return None if self.temperature is None else Sampling(self.temperature, self.seed)

    def drawing(self, number: int) -> Choices:
        """The choices of draw `number`: a seed of its own, and temperature 1 if none is set."""
        temperature = 1.0 if self.temperature is None else self.temperature
        return replace(self, temperature=temperature, seed=self.seed + number)


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedMask:
    """A mask text, read."""

    text: str
    grid: DescriptorGrid
    probability: Float32[np.ndarray, "rows cols"]
    costs: DecodingStats
    no_target: float
    repairs: tuple[Repair, ...] = ()
    validity: Validity = "strict"


class MaskGenerator:
    """Has one model's masks written, under a grammar where the model can be steered.

    Args:
        shape: The grid.
        form: The text format.
        draft: The name of a drafter.
        choices: How tokens are chosen.
        pass_cost: How far to draft; by default it is learned from the passes made.
    """

    def __init__(
        self,
        shape: GridShape,
        form: Format,
        *,
        draft: str,
        choices: Choices,
        pass_cost: PassCost | MeasuredPassCost | None = None,
    ) -> None:
        check_draft(draft)
        self.shape = shape
        self.form = form
        self.draft = draft
        self.choices = choices
        self.pass_cost = pass_cost or MeasuredPassCost()
        self._batch_pass_cost = pass_cost or MeasuredPassCost()
        self._vocabulary: tuple[TokenTable, Vocabulary] | None = None

    @property
    def writes_boxes(self) -> bool:
        """Whether there are no cells over the image to draft or to weigh, but boxes."""
        return isinstance(self.form, BoxesOnImage)

    def drawing(self, number: int) -> MaskGenerator:
        """A writer that draws its tokens, `number` being the draw; all else is shared with it."""
        other = copy(self)
        other.choices = self.choices.drawing(number)
        return other

    def write(
        self,
        session: Session | WritingSession,
        expression: str,
        *,
        previous: DescriptorGrid | None = None,
        tell: Callable[[bytes], None] | None = None,
    ) -> GeneratedMask:
        """Write the mask of an expression; `tell` hears the text so far after each pass.

        Raises:
            DecodingError, GrammarError: The model or its vocabulary cannot write it.
            InputError: The previous mask has another shape.
        """
        if isinstance(session, WritingSession):
            return self._salvaged(session, expression)
        asked = self.ask(session, expression)
        job = self.job(asked, expression, previous=previous, tell=tell)
        how = job.how
        decoded = decode(
            asked.step,
            asked.first_logits,
            job.vocabulary,
            job.grammar,
            draft=how.draft,
            bias=how.bias,
            sampling=how.sampling,
            counts=how.counts,
            pass_cost=how.pass_cost,
            room=how.room,
            on_tokens=how.on_tokens,
        )
        return self.read(decoded, job.vocabulary, expression, label=asked.label)

    def ask(self, session: Session, expression: str) -> PreparedPrompt:
        """Put the question and the beginning of the answer to the model."""
        sides = (self.shape.rows, self.shape.cols)
        question = prompts.question(expression, grid=self.named_grid(session))
        asked = session.ask(question, prompts.ANSWER_PREFIX, grid=sides)
        spell = getattr(session, "spell", None)
        if spell is None or self.writes_boxes:
            return asked
        return replace(asked, label=spell(expression))

    def named_grid(self, session: Session | WritingSession) -> GridShape:
        """The grid for the words of a question, whose own sides need no words."""
        # A model that is told the grid apart from its words would not know the ones that name it.
        return prompts.PLAIN_GRID if getattr(session, "asks_plainly", False) else self.shape

    def job(
        self,
        asked: PreparedPrompt,
        expression: str,
        *,
        previous: DescriptorGrid | None = None,
        tell: Callable[[bytes], None] | None = None,
        shared: bool = False,
    ) -> Job:
        """What is to be decoded after a question; `shared` tells that it is one of a batch."""
        vocabulary = self.vocabulary_of(asked.vocabulary)
        label = asked.label or expression
        labels = () if asked.absent else (label,)
        grammar = compile_mask_grammar(self.form, self.shape, labels, vocabulary)
        self._check_room(asked, vocabulary)
        known = DraftContext(
            self.shape,
            self.form.name,
            label,
            None if asked.absent or self.writes_boxes else _relabelled(previous, expression, label),
            asked.cell_odds,
        )
        text = bytearray()

        def on_tokens(tokens: tuple[int, ...]) -> None:
            if tell is not None:
                text.extend(vocabulary.decode(tokens))
                tell(bytes(text).replace(label.encode(), expression.encode()))

        how = How(
            draft=make_drafter("forced" if self.writes_boxes else self.draft, self.shape, known),
            bias=self._bias(asked, vocabulary),
            sampling=self.choices.sampling,
            counts=self._counts(),
            pass_cost=self._batch_pass_cost if shared else self.pass_cost,
            room=asked.room,
            on_tokens=on_tokens,
        )
        return Job(asked.first_logits, vocabulary, grammar, how)

    def read(
        self,
        decoded: Decoded,
        vocabulary: Vocabulary,
        expression: str,
        *,
        label: str | None = None,
    ) -> GeneratedMask:
        """The grid of a text and the probabilities behind it; `label` is as in `PreparedPrompt`."""
        spelled = label or expression
        body = vocabulary.decode(decoded.tokens).decode()
        grid = _relabelled(self.form.decode(body, self.shape, (spelled,)), spelled, expression)
        body = body.replace(spelled, expression)
        if self.writes_boxes:
            sure = grid.select(expression).astype(np.float32)
            return GeneratedMask(body, grid, sure, decoded.stats, float(grid.is_empty))
        labels, name = (OTHERS, spelled), self.form.name
        shares = cell_probabilities(
            decoded, vocabulary, self.shape, labels=labels, format_name=name
        )
        no_target = no_target_probability(
            decoded, vocabulary, self.shape, labels=labels, format_name=name
        )
        probability = _agreeing(shares[1], grid.select(expression))
        return GeneratedMask(body, grid, probability, decoded.stats, no_target)

    def vocabulary_of(self, table: TokenTable) -> Vocabulary:
        """The model's tokens as decoding knows them; built once a tokenizer, with its grammars."""
        if self._vocabulary is None or self._vocabulary[0] is not table:
            vocabulary = Vocabulary(table.tokens, table.eos, table.encode, special=table.special)
            self._vocabulary = (table, vocabulary)
        return self._vocabulary[1]

    def _check_room(self, asked: PreparedPrompt, vocabulary: Vocabulary) -> None:
        """Even an empty mask takes some tokens: refuse before the first pass what cannot fit."""
        if asked.room is None:
            return
        empty = self.form.encode(DescriptorGrid.empty(self.shape)).encode()
        needed = len(vocabulary.encode(empty))
        if needed > asked.room:
            raise ContextError(asked.room, needed)

    def _bias(self, asked: PreparedPrompt, vocabulary: Vocabulary) -> dict[int, float] | None:
        own = asked.bias or {}
        offset = self.choices.background_bias
        added = background_bias(vocabulary, offset) if offset else {}
        return {
            token: own.get(token, 0.0) + added.get(token, 0.0) for token in {*own, *added}
        } or None

    def _counts(self) -> MedianCounts | None:
        if self.choices.runs == "likeliest" or self.form.name not in ("rle", "rrle"):
            return None
        width = self.shape.cols if self.form.name == "rrle" else self.shape.cells
        return MedianCounts(width, self.choices.background_bias)

    def _salvaged(self, session: WritingSession, expression: str) -> GeneratedMask:
        """Let the model write and make the best of it."""
        grammar = self.form.grammar(self.shape, (expression,), "gbnf")
        started = time.perf_counter()
        question = prompts.question(expression, grid=self.shape)
        answer = session.write(question, prompts.ANSWER_PREFIX, grammar=grammar)
        seconds = time.perf_counter() - started
        text = find_body(answer)
        validity: Validity = "strict"
        repairs: tuple[Repair, ...] = ()
        try:
            grid = self.form.decode(text, self.shape, (expression,))
        except MaskSyntaxError:
            saved = self.form.salvage(text, self.shape, (expression,))
            grid, repairs = saved.grid, saved.repairs
            nothing = self.form.salvage("", self.shape, (expression,))
            read = (repairs, nothing.repairs)
            same = read if self.writes_boxes else tuple(map(_by_row, read))
            validity = "unparsable" if same[0] == same[1] else "salvaged"
        probability = grid.select(expression).astype(np.float32)
        costs = DecodingStats(0, 0, 0, 0, 0, 0, seconds)
        return GeneratedMask(
            text, grid, probability, costs, float(grid.is_empty), repairs, validity
        )


def _by_row(repairs: Sequence[Repair]) -> list[Repair]:
    """The repairs of rows; where they are those of an empty text, no row could be read."""
    return [repair for repair in repairs if repair.row is not None]


@overload
def _relabelled(grid: None, old: str, new: str) -> None: ...
@overload
def _relabelled(grid: DescriptorGrid, old: str, new: str) -> DescriptorGrid: ...
def _relabelled(grid: DescriptorGrid | None, old: str, new: str) -> DescriptorGrid | None:
    if grid is None or old == new:
        return grid
    return DescriptorGrid(tuple(new if one == old else one for one in grid.labels), grid.cells)


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
