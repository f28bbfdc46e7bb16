"""What the house asks of any vision-language model: images, tokens and logits; never a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int
    from PIL.Image import Image


@dataclass(frozen=True, slots=True, eq=False)
class TokenTable:
    """A tokenizer as bytes: what every token writes, by id, and how bytes become tokens.

    `eos` ends an answer; `special` are the control tokens, which no text spells.
    """

    tokens: Sequence[bytes]
    eos: int
    encode: Callable[[bytes], Sequence[int]]
    special: Sequence[int] = ()


class Logits(Protocol):
    """The logits after one token, by token id: an array, or computed where they are read."""

    def __len__(self) -> int: ...

    def __getitem__(self, tokens: Int[np.ndarray, " n"], /) -> Float[np.ndarray, " n"]: ...


class SteppedModel(Protocol):
    """A language model whose cache holds the prompt: fed tokens, it gives a row of logits each."""

    def __call__(self, tokens: Sequence[int], /) -> Any:
        """Feed `tokens`; row i of the result are the logits after token i."""
        ...

    def cut(self, n: int, /) -> None:
        """Drop the last `n` fed tokens from the cache."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPrompt:
    """A question put to an opened image: ready for the first token of the mask.

    `bias` offsets logits by token id wherever a choice is open: a model's own calibration.
    `cell_odds` are log-odds that a cell is of the target, where the model has a head that tells:
    a guess, used to draft. `room` is how many tokens its context takes after the prompt.
    `absent`: the model is sure that nothing of it is there; only the empty mask may be written.
    `label` is how the model spells the thing in its text, where that is not as it was asked.
    """

    step: SteppedModel
    first_logits: Logits
    vocabulary: TokenTable
    prompt_tokens: int
    bias: Mapping[int, float] | None = None
    cell_odds: Float[np.ndarray, "rows cols"] | None = None
    room: int | None = None
    absent: bool = False
    label: str | None = None


class JoinedModel(Protocol):
    """Several asked questions that share passes; each keeps a cache of its own length."""

    def __call__(self, fed: Mapping[int, Sequence[int]], /) -> Mapping[int, Any]:
        """Feed some of the questions, counted from 0; the rows of logits of each."""
        ...

    def cut(self, sequence: int, n: int, /) -> None:
        """Drop the last `n` fed tokens from the cache of one question."""
        ...


class Session(Protocol):
    """An image, encoded and prefilled once; every question forks from there.

    A question whose answer is words is `ask`ed with an empty beginning; a model that reads such
    questions in another way also has `ask_words(question) -> PreparedPrompt`.
    """

    def ask(
        self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
    ) -> PreparedPrompt:
        """Prefill a question and the beginning of its answer; `grid`: the mask's rows, columns."""
        ...


class VisionLanguageModel(Protocol):
    """A vision-language model; `default_format` is the text format it writes best.

    One that can share passes among questions also has `join(asked) -> JoinedModel`.
    """

    default_format: str

    def open(self, image: Image) -> Session:
        """Encode an RGB image and prefill what is the same for all its questions."""
        ...
