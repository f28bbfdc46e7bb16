"""From an encoded image and an expression to a mask text that was read."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from jaxtyping import Bool, Float32

from text4seg import prompts
from text4seg.codec import Format, Repair
from text4seg.codec.answer import find_body
from text4seg.core.errors import MaskSyntaxError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape
from text4seg.decoding import (
    ContextError,
    DecodingOptions,
    DecodingResult,
    DecodingStats,
    DecodingTask,
    DraftContext,
    MeasuredPassCost,
    PassCost,
    Vocabulary,
    cell_probabilities,
    compile_mask_grammar,
    decode,
    no_target_probability,
)
from text4seg.decoding.drafters import DRAFTERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from text4seg.models import Capabilities, ImageSession, PreparedPrompt, TokenTable

Validity = Literal["strict", "salvaged", "unparsable"]
"""How a text could be read: as it is, after repairs, or not at all."""

MAX_NEW_TOKENS = 1 << 14
"""Token limit of text-only models, which may write on without end."""


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedMask:
    """A mask text that was read.

    Attributes:
        text: The text of the mask, without the marks around it.
        grid: Its cells over the image.
        probability: For each cell, how probable the label is.
        costs: What the decoding cost.
        no_target_probability: How probable an empty mask was.
        repairs: What had to be repaired.
        validity: How the text could be read.
    """

    text: str
    grid: DescriptorGrid
    probability: Float32[np.ndarray, "rows cols"]
    costs: DecodingStats
    no_target_probability: float
    repairs: tuple[Repair, ...] = ()
    validity: Validity = "strict"


@dataclass(frozen=True, slots=True, eq=False)
class MaskTask:
    """A prepared question and what is to be decoded after it.

    Attributes:
        prompt: The prefilled prompt.
        task: What to decode.
        expression: What was asked for.
        label: How the model spells the expression in its text.
    """

    prompt: PreparedPrompt
    task: DecodingTask
    expression: str
    label: str


class MaskGenerator:
    """Generates masks with one model: prompt, grammar and draft, decoding, reading.

    Args:
        shape: The grid.
        form: The text format.
        capabilities: What the model can do.
        options: How tokens are chosen and drafted.
        pass_cost: What passes cost; by default it is learned from the passes made.

    Raises:
        UnknownNameError: There is no such draft.
    """

    def __init__(
        self,
        shape: GridShape,
        form: Format[Any],
        *,
        capabilities: Capabilities,
        options: DecodingOptions | None = None,
        pass_cost: PassCost | MeasuredPassCost | None = None,
    ) -> None:
        self.shape = shape
        self.form = form
        self.capabilities = capabilities
        self.options = options or DecodingOptions()
        if isinstance(self.options.draft, str):
            DRAFTERS[self.options.draft]  # an unknown name is reported before anything is loaded
        self._pass_cost = pass_cost or MeasuredPassCost()
        # Passes over a batch take longer, so they are measured apart.
        self._batch_pass_cost = pass_cost or MeasuredPassCost()
        self._vocabulary: tuple[TokenTable, Vocabulary] | None = None

    def for_sample(self, number: int) -> MaskGenerator:
        """A generator that samples, `number` being the sample; all else is shared with it."""
        other = copy(self)
        other.options = self.options.for_sample(number)
        return other

    def generate(
        self,
        session: ImageSession,
        expression: str,
        *,
        previous: DescriptorGrid | None = None,
        on_text: Callable[[bytes], None] | None = None,
    ) -> GeneratedMask:
        """Generate the mask of an expression.

        Args:
            session: The encoded image.
            expression: What to segment; a legal label.
            previous: The mask of the previous video frame, to draft from.
            on_text: Called with the text so far after each pass. It may raise to cancel.

        Returns:
            The mask.

        Raises:
            DecodingError: The model broke its contract, or the mask does not fit its context.
            GrammarError: The model's vocabulary cannot write this mask.
            InputError: The previous mask has another shape.
        """
        if self.capabilities.text_only:
            return self._generate_text(session, expression)
        prepared = self.prepare(session, expression, previous=previous, on_text=on_text)
        return self.read(decode(prepared.prompt.step, prepared.task), prepared)

    def prepare(
        self,
        session: ImageSession,
        expression: str,
        *,
        previous: DescriptorGrid | None = None,
        on_text: Callable[[bytes], None] | None = None,
        batched: bool = False,
    ) -> MaskTask:
        """Prefill the question of an expression.

        Args:
            session: The encoded image.
            expression: What to segment.
            previous: The mask of the previous video frame.
            on_text: Called with the text so far after each pass.
            batched: Whether the passes are shared with other questions.

        Returns:
            What `decode` or `decode_batch` takes, and what `read` needs afterwards.
        """
        prompt = session.prepare(
            prompts.question(expression, grid=self.prompt_grid),
            prompts.ANSWER_PREFIX,
            grid=(self.shape.rows, self.shape.cols),
        )
        # Boxes name their regions themselves; a model's own spelling is for cells.
        covers_image = self.form.syntax.covers_image
        label = session.label_for(expression) if covers_image else expression
        vocabulary = self.vocabulary_of(prompt.vocabulary)
        labels = () if prompt.absent else (label,)
        grammar = compile_mask_grammar(self.form, self.shape, labels, vocabulary)
        self._check_context(prompt, vocabulary)
        usable = covers_image and not prompt.absent
        context = DraftContext(
            self.form.syntax,
            self.shape,
            label,
            _relabel(previous, expression, label) if usable else None,
            prompt.cell_log_odds,
        )
        text = bytearray()

        def on_tokens(tokens: tuple[int, ...]) -> None:
            if on_text is not None:
                text.extend(vocabulary.decode(tokens))
                on_text(bytes(text).replace(label.encode(), expression.encode()))

        task = DecodingTask(
            prompt.first_logits,
            grammar,
            self.options,
            context,
            bias=prompt.bias,
            pass_cost=self._batch_pass_cost if batched else self._pass_cost,
            max_context=prompt.max_context,
            on_tokens=on_tokens,
        )
        return MaskTask(prompt, task, expression, label)

    @property
    def prompt_grid(self) -> GridShape:
        """The grid that questions name in words; the default one is not named."""
        # A model that is given the grid apart from the question does not know words that name it.
        return self.shape if self.capabilities.names_grid else prompts.PLAIN_GRID

    def read(self, decoded: DecodingResult, prepared: MaskTask) -> GeneratedMask:
        """Read what was decoded.

        Args:
            decoded: The tokens.
            prepared: What they were decoded for.

        Returns:
            The mask, labeled with the expression.
        """
        grammar, label, expression = prepared.task.grammar, prepared.label, prepared.expression
        body = grammar.vocabulary.decode(decoded.tokens).decode()
        value = self.form.decode(body, self.shape, (label,))
        grid = _relabel(self.form.to_grid(value), label, expression)
        body = body.replace(label, expression)
        cells = grid.select(expression)
        if not self.form.syntax.covers_image:
            certain = cells.astype(np.float32)
            return GeneratedMask(body, grid, certain, decoded.stats, float(grid.is_empty))
        labels = (OTHERS, label)
        shares = cell_probabilities(decoded, grammar, labels)
        no_target = no_target_probability(decoded, grammar, labels)
        probability = _clip_to_text(shares[1], cells)
        return GeneratedMask(body, grid, probability, decoded.stats, no_target)

    def vocabulary_of(self, table: TokenTable) -> Vocabulary:
        """The model's tokens as decoding needs them; built once, with its compiled grammars."""
        if self._vocabulary is None or self._vocabulary[0] is not table:
            vocabulary = Vocabulary(table.tokens, table.eos, table.encode, special=table.special)
            self._vocabulary = (table, vocabulary)
        return self._vocabulary[1]

    def _check_context(self, prompt: PreparedPrompt, vocabulary: Vocabulary) -> None:
        """Refuse before the first pass what cannot fit: even an empty mask takes some tokens."""
        if prompt.max_context is None:
            return
        empty = self.form.encode(self.form.from_masks((), self.shape)).encode()
        needed = len(vocabulary.encode(empty))
        if needed > prompt.max_context:
            raise ContextError(prompt.max_context, needed)

    def _generate_text(self, session: ImageSession, expression: str) -> GeneratedMask:
        """Let a text-only model write, and read the answer as well as it can be read."""
        grammar = self.form.grammar(self.shape, (expression,), "gbnf")
        started = time.perf_counter()
        answer = session.generate(
            prompts.question(expression, grid=self.prompt_grid),
            prompts.ANSWER_PREFIX,
            grammar=grammar,
            max_tokens=min(self.options.max_tokens, MAX_NEW_TOKENS),
        )
        seconds = time.perf_counter() - started
        text = find_body(answer.text)
        value, repairs, validity = read_text(self.form, text, self.shape, expression)
        grid = self.form.to_grid(value)
        certain = grid.select(expression).astype(np.float32)
        costs = DecodingStats(0, answer.tokens or 0, 0, 0, 0, 0, seconds)
        empty = float(grid.is_empty)
        return GeneratedMask(text, grid, certain, costs, empty, repairs, validity)


def read_text(
    form: Format[Any], text: str, shape: GridShape, label: str
) -> tuple[Any, tuple[Repair, ...], Validity]:
    """Read a mask text that was written without a grammar.

    Args:
        form: The format that was asked for.
        text: The text.
        shape: The grid.
        label: The only label that is expected.

    Returns:
        The format's value, what was repaired, and how the text could be read.
    """
    try:
        return form.decode(text, shape, (label,)), (), "strict"
    except MaskSyntaxError:
        saved = form.salvage(text, shape, (label,))
        validity: Validity = "unparsable" if saved.unparsable else "salvaged"
        return saved.value, saved.repairs, validity


@overload
def _relabel(grid: None, old: str, new: str) -> None: ...
@overload
def _relabel(grid: DescriptorGrid, old: str, new: str) -> DescriptorGrid: ...
def _relabel(grid: DescriptorGrid | None, old: str, new: str) -> DescriptorGrid | None:
    if grid is None or old == new:
        return grid
    return DescriptorGrid(tuple(new if one == old else one for one in grid.labels), grid.cells)


def _clip_to_text(
    probability: Float32[np.ndarray, "rows cols"], cells: Bool[np.ndarray, "rows cols"]
) -> Float32[np.ndarray, "rows cols"]:
    """The probability, held on the text's side of one half.

    A run takes its likeliest length, its cells the whole distribution of lengths: near the end of
    a run, and under a bias, the two may disagree, and the text is what the model wrote.
    """
    lower = np.where(cells, 0.5, 0.0)
    upper = np.where(cells, 1.0, np.nextafter(np.float32(0.5), np.float32(0.0)))
    return np.asarray(np.clip(probability, lower, upper), dtype=np.float32)
