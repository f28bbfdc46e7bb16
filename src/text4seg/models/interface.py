"""The interface between a vision-language model and decoding: images, tokens and logits.

A model that implements `VisionLanguageModel` can be segmented with, whatever it is made of. The
module needs numpy alone. `examples/plugin/` writes such a model from this page.

The two kinds of models:

- A *steered* model returns logits. `ImageSession.prepare` prefills a prompt and returns a
  `PreparedPrompt`; decoding then feeds tokens to its `step` under a grammar.
- A *text-only* model (`Capabilities.text_only`), such as one behind a server, writes the whole
  answer by itself: `ImageSession.generate` returns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from text4seg.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int
    from PIL.Image import Image

    from text4seg.models.defaults import ModelDefaults


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do beyond writing text after a prompt.

    Attributes:
        text_only: The model returns whole answers, no logits: `ImageSession.generate` is used.
        batch: `VisionLanguageModel.batch` lets several prompts share forward passes.
        cell_head: `PreparedPrompt.cell_log_odds` is set; it is used to draft masks.
        names_grid: Questions name the grid in words. A model that is given the grid apart from
            the question sets this to False.
        vqa: The model answers plain questions in words.
        grammar: A text-only model obeys the grammar that `generate` is given.
        log_probabilities: The probabilities of tokens are known, hence those of cells.
        any_layout: The model was trained to write every format and grid, so that none but the
            defaults is worse for it.
    """

    text_only: bool = False
    batch: bool = False
    cell_head: bool = False
    names_grid: bool = True
    vqa: bool = True
    grammar: bool = True
    log_probabilities: bool = True
    any_layout: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TokenTable:
    """A tokenizer as bytes.

    Attributes:
        tokens: The bytes of every token, by token id.
        eos: The token that ends an answer.
        encode: Converts UTF-8 bytes to token ids.
        special: Control tokens, which no text spells.
    """

    tokens: Sequence[bytes]
    eos: int
    encode: Callable[[bytes], Sequence[int]]
    special: Sequence[int] = ()


class Logits(Protocol):
    """The logits after one token, indexed by token ids.

    A float32 array of shape `vocab` is the usual one. Only logits of allowed tokens are read, so
    an implementation may compute them on demand.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, tokens: Int[np.ndarray, " n"], /) -> Float[np.ndarray, " n"]: ...


class LogitRows(Protocol):
    """The `Logits` after each token of a forward pass; a float32 array `n vocab` is the usual one.

    Rows are read one by one and not all of them, so they may be computed on demand.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Logits: ...


class Step(Protocol):
    """A language model whose key-value cache already holds the prompt."""

    def __call__(self, tokens: Sequence[int], /) -> LogitRows:
        """Run one forward pass.

        Args:
            tokens: Token ids to append to the cache.

        Returns:
            The logits that follow each of the tokens.
        """
        ...

    def rollback(self, n: int, /) -> None:
        """Drop tokens from the end of the cache.

        Args:
            n: How many; never more than the last pass was fed.
        """
        ...


class BatchStep(Protocol):
    """A language model with a key-value cache for each of several sequences, counted from 0."""

    def __call__(self, fed: Mapping[int, Sequence[int]], /) -> Mapping[int, LogitRows]:
        """Run one forward pass over some of the sequences.

        Args:
            fed: Token ids to append, by sequence.

        Returns:
            The logits that follow each token, by sequence.
        """
        ...

    def rollback(self, sequence: int, n: int, /) -> None:
        """Drop the last `n` tokens from the cache of one sequence.

        Args:
            sequence: The sequence, counted from 0.
            n: How many tokens.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPrompt:
    """A prefilled prompt: the model is ready for the first token of the answer.

    Attributes:
        step: The model; its cache holds the prompt.
        first_logits: The logits after the prompt.
        vocabulary: The tokenizer.
        prompt_tokens: Length of the prompt, image tokens included.
        bias: Offsets of logits by token id, added wherever several tokens are allowed: the
            model's own calibration.
        cell_log_odds: For each cell, the log-odds that it belongs to the target, where the model
            has a head that predicts them. Used to draft.
        max_context: How many tokens fit into the context after the prompt; None: no limit.
        absent: The model is sure that nothing in the image is meant; only the empty mask may be
            written.
    """

    step: Step
    first_logits: Logits
    vocabulary: TokenTable
    prompt_tokens: int
    bias: Mapping[int, float] | None = None
    cell_log_odds: Float[np.ndarray, "rows cols"] | None = None
    max_context: int | None = None
    absent: bool = False


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """The answer of a text-only model.

    Attributes:
        text: The answer after the prefix, as the model wrote it.
        tokens: Tokens written; None where the model does not report it.
        finished: False where a token limit cut the answer short.
    """

    text: str
    tokens: int | None = None
    finished: bool = True


class ImageSession(Protocol):
    """An image that was encoded once; every question forks from there.

    Subclass it to inherit the defaults: a steered model implements `prepare`, a text-only model
    implements `generate`.
    """

    def prepare(
        self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
    ) -> PreparedPrompt:
        """Prefill a question and the beginning of its answer.

        Args:
            question: The text of the user's turn, without the image placeholder.
            answer_prefix: The beginning of the answer, up to and including `<seg>`.
            grid: Rows and columns of the mask.

        Returns:
            The prefilled prompt.

        Raises:
            InputError: The question spells the model's control tokens, or the model is text-only.
        """
        raise InputError("this model returns text only: it cannot be decoded token by token")

    def prepare_vqa(self, question: str) -> PreparedPrompt:
        """Prefill a question whose answer is words; by default `prepare` with an empty prefix.

        Args:
            question: The question as the user typed it.

        Returns:
            The prefilled prompt.

        Raises:
            WeightsError: The weights were not trained to answer in words.
        """
        return self.prepare(question, "")

    def label_for(self, expression: str) -> str:
        """The label that the model writes for an expression; by default the expression itself.

        Args:
            expression: What the user asks for.

        Returns:
            A legal label.
        """
        return expression

    def generate(
        self, question: str, answer_prefix: str, *, grammar: str | None, max_tokens: int
    ) -> GeneratedText:
        """Let a text-only model write an answer.

        Args:
            question: The text of the user's turn.
            answer_prefix: The beginning of the answer; empty for plain questions.
            grammar: GBNF of what may follow the prefix; None for plain questions. The model may
                ignore it: the text is then read by the salvaging reader.
            max_tokens: Where to stop.

        Returns:
            What was written.

        Raises:
            InputError: The model is not text-only, or it writes no plain answers.
        """
        raise InputError("this model does not generate by itself: prepare a prompt and decode")


class VisionLanguageModel(Protocol):
    """A vision-language model. Subclass it to inherit the defaults.

    Attributes:
        capabilities: What the model can do.
        defaults: The text format and the grid that it was trained with.
    """

    capabilities: Capabilities
    defaults: ModelDefaults

    def encode_image(self, image: Image) -> ImageSession:
        """Encode an image and prefill what all its questions share.

        Args:
            image: Upright RGB, of any size.

        Returns:
            The session of that image.
        """
        ...

    def batch(self, prompts: Sequence[PreparedPrompt]) -> BatchStep:
        """Let several prompts share forward passes; each keeps a cache of its own length.

        Only called where `capabilities.batch` is set.

        Args:
            prompts: Prepared by sessions of this model; sequence i continues prompt i.

        Returns:
            The model over all of them.

        Raises:
            InputError: The model cannot batch, or not these prompts.
        """
        raise InputError("this model cannot share passes among prompts")
