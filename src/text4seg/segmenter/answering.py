"""Questions whose answer is words: an ordinary reply of the model, under no grammar."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from text4seg.codec.answer import SEG_CLOSE, SEG_OPEN
from text4seg.core.errors import InputError
from text4seg.decoding import ContextError
from text4seg.segmenter.generation import WritingSession

if TYPE_CHECKING:
    from text4seg.models import PreparedPrompt, Session

MAX_TOKENS = 64
LONGEST_QUESTION = 2000
"""Characters."""
MASK = "[a mask]"


@runtime_checkable
class ReplyingSession(Protocol):
    """An image opened by a model that only returns text, and that can also be asked plainly."""

    def reply(self, question: str, *, max_tokens: int) -> str:
        """The model's answer, whatever it is: an ordinary request of a chat."""
        ...


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
        """As plain values, for JSON."""
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


def reply(
    session: Session | WritingSession | ReplyingSession, question: str, *, max_tokens: int
) -> Answer:
    """Let the model answer: always its likeliest token, until its end or `max_tokens`.

    Raises:
        InputError: The model returns masks only, or the question spells its control tokens.
        WeightsError: The weights were not taught to answer in words.
        ContextError: The question leaves no room for an answer.
    """
    started = time.perf_counter()
    if isinstance(session, ReplyingSession):
        said = session.reply(question, max_tokens=max_tokens).strip()
        return Answer(question, said, None, time.perf_counter() - started, finished=True)
    if isinstance(session, WritingSession):
        raise InputError(
            "this model is asked for masks only: its session has `write`, but no `reply`"
        )
    ask = getattr(session, "ask_words", None)
    asked: PreparedPrompt = session.ask(question, "") if ask is None else ask(question)
    if asked.room is not None and asked.room < 1:
        raise ContextError(asked.room, 1)
    most = max_tokens if asked.room is None else min(max_tokens, asked.room)
    tokens, finished = _write(asked, most)
    text = b"".join(asked.vocabulary.tokens[token] for token in tokens)
    said = text.decode(errors="replace").strip()
    return Answer(question, said, len(tokens), time.perf_counter() - started, finished)


def _write(asked: PreparedPrompt, most: int) -> tuple[list[int], bool]:
    """Tokens, and whether the end came. Any control token ends an answer: no text spells it."""
    ends = {asked.vocabulary.eos, *asked.vocabulary.special}
    size = len(asked.vocabulary.tokens)
    logits: Any = asked.first_logits
    tokens: list[int] = []
    while True:
        token = int(np.argmax(np.asarray(logits)[:size]))
        if token in ends:
            return tokens, True
        tokens.append(token)
        if len(tokens) == most:
            # One more look, at no cost to the answer, would only tell whether it was its end.
            return tokens, False
        logits = asked.step([token])[0]
