"""Questions whose answer is words (VQA): an ordinary answer of the model, under no grammar."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.codec.answer import SEG_CLOSE, SEG_OPEN
from text4seg.core.errors import InputError
from text4seg.decoding import ContextError

if TYPE_CHECKING:
    from text4seg.models import Capabilities, ImageSession, PreparedPrompt

MAX_ANSWER_TOKENS = 64
LONGEST_QUESTION = 2000
"""Characters."""
MASK = "[a mask]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said.

    Attributes:
        question: As it was asked.
        text: As the model wrote it, without space around it.
        tokens: GeneratedMask, the end not counted; None where the model does not tell.
        seconds: From the image to the answer; of several questions, each with its share of the
            image.
        finished: Whether the model came to its end, not to the most tokens it was allowed.
    """

    question: str
    text: str
    tokens: int | None
    seconds: float
    finished: bool

    @property
    def holds_mask(self) -> bool:
        """Whether a mask was written where words were asked for."""
        return SEG_OPEN in self.text

    @property
    def words(self) -> str:
        """The text; `[a mask]` stands in place of masks."""
        first, *rest = self.text.split(SEG_OPEN)
        behind = (piece.partition(SEG_CLOSE)[2] for piece in rest)
        return "".join([first, *(f"{MASK}{after}" for after in behind)]).strip()

    def to_record(self) -> dict[str, Any]:
        """As plain values, for JSON.

        Returns:
            The record that `text4seg ask --json` prints.
        """
        return {
            "question": self.question,
            "answer": self.words,
            "mask": self.holds_mask,
            "tokens": self.tokens,
            "finished": self.finished,
            "seconds": round(self.seconds, 3),
        }


def check_question(question: str) -> None:
    """Check that a question can be asked.

    Raises:
        InputError: It is empty, holds no word, or is too long.
    """
    if not any(letter.isalnum() for letter in question):
        raise InputError(f"a question needs words, got {question[:40]!r}")
    if len(question) > LONGEST_QUESTION:
        raise InputError(
            f"a question has at most {LONGEST_QUESTION} characters, this one has {len(question)}"
        )


def answer_question(
    session: ImageSession, question: str, *, capabilities: Capabilities, max_tokens: int
) -> Answer:
    """Let the model answer a question in words.

    Always the likeliest token is taken, until the model ends its answer.

    Args:
        session: The encoded image.
        question: As the user typed it.
        capabilities: What the model can do.
        max_tokens: Where to stop.

    Returns:
        The answer.

    Raises:
        InputError: The model writes masks only, or the question spells its control tokens.
        WeightsError: The weights were not trained to answer in words.
        ContextError: The question leaves no room for an answer.
    """
    if not capabilities.vqa:
        raise InputError("this model writes masks only: it answers no questions in words")
    started = time.perf_counter()
    if capabilities.text_only:
        written = session.generate(question, "", grammar=None, max_tokens=max_tokens)
        seconds = time.perf_counter() - started
        return Answer(question, written.text.strip(), written.tokens, seconds, written.finished)
    prompt = session.prepare_vqa(question)
    limit = prompt.max_context
    if limit is not None and limit < 1:
        raise ContextError(limit, 1)
    tokens, finished = _decode_greedily(
        prompt, max_tokens if limit is None else min(max_tokens, limit)
    )
    text = b"".join(prompt.vocabulary.tokens[token] for token in tokens)
    written_text = text.decode(errors="replace").strip()
    return Answer(question, written_text, len(tokens), time.perf_counter() - started, finished)


def _decode_greedily(prompt: PreparedPrompt, most: int) -> tuple[list[int], bool]:
    """Tokens, and whether the end came. Any control token ends an answer: no text spells it."""
    ends = {prompt.vocabulary.eos, *prompt.vocabulary.special}
    every = np.arange(len(prompt.vocabulary.tokens))
    logits: Any = prompt.first_logits
    tokens: list[int] = []
    while True:
        token = int(np.argmax(logits[every]))
        if token in ends:
            return tokens, True
        tokens.append(token)
        if len(tokens) == most:
            # One more pass would only show whether this was the end.
            return tokens, False
        logits = prompt.step([token])[0]
