"""A fake chat for tests of what stands above the models: it writes the masks it is told to write.

Its vocabulary is the 256 bytes and an end token. Its logits favour the next byte of the text it has
in mind, so a grammar that allows that text makes it appear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from text4seg.codec import get_format
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.models import (
    Capabilities,
    GeneratedText,
    ImageSession,
    PreparedPrompt,
    TokenTable,
    VisionLanguageModel,
)
from text4seg.models.defaults import ModelDefaults

END = 256


def byte_table() -> TokenTable:
    return TokenTable([bytes([byte]) for byte in range(256)] + [b""], END, list)


class FakeStep:
    """Logits for a text known beforehand; `certainty` is the logit of the right byte."""

    def __init__(self, text: bytes, certainty: float) -> None:
        self.text = text
        self.certainty = certainty
        self.fed: list[int] = []

    def row(self, at: int) -> np.ndarray:
        logits = np.zeros(END + 1, dtype=np.float32)
        logits[self.text[at] if at < len(self.text) else END] = self.certainty
        return logits

    def __call__(self, tokens: Sequence[int]) -> np.ndarray:
        start = len(self.fed)
        self.fed += tokens
        return np.stack([self.row(start + place + 1) for place in range(len(tokens))])

    def rollback(self, n: int) -> None:
        del self.fed[len(self.fed) - n :]


class FakeSession(ImageSession):
    def __init__(self, chat: FakeChat) -> None:
        self.chat = chat

    def prepare(
        self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
    ) -> PreparedPrompt:
        self.chat.grids.append(grid)
        self.chat.questions.append(question)
        assert answer_prefix.endswith("<seg>")
        step = FakeStep(self.chat.text_for(question), self.chat.certainty)
        return PreparedPrompt(step, step.row(0), self.chat.vocabulary, prompt_tokens=7)


class FakeWriter(ImageSession):
    """A session of a model that returns text alone."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def generate(
        self, question: str, answer_prefix: str, *, grammar: str | None, max_tokens: int
    ) -> GeneratedText:
        assert "root" in (grammar or "")
        return GeneratedText(self.answer)


class FakeChat(VisionLanguageModel):
    """Answers an expression named in `answers` with that grid, and anything else with nothing."""

    defaults = ModelDefaults(format="sd")

    def __init__(
        self,
        answers: Mapping[str, DescriptorGrid] | None = None,
        *,
        shape: GridShape | None = None,
        form: str = "sd",
        certainty: float = 5.0,
        written: str | None = None,
    ) -> None:
        self.answers = dict(answers or {})
        self.shape = shape or GridShape(16, 16)
        self.form = get_format(form)
        self.certainty = certainty
        self.written = written
        self.capabilities = Capabilities(text_only=written is not None)
        self.vocabulary = byte_table()
        self.grids: list[tuple[int, int]] = []
        self.opened: list[tuple[int, int]] = []
        self.questions: list[str] = []

    def encode_image(self, image: Image.Image) -> FakeSession | FakeWriter:
        assert image.mode == "RGB"
        self.opened.append(image.size)
        return FakeSession(self) if self.written is None else FakeWriter(self.written)

    def text_for(self, question: str) -> bytes:
        for expression, grid in self.answers.items():
            if expression in question:
                return self.form.encode(grid).encode()
        return self.form.encode(DescriptorGrid.empty(self.shape)).encode()


def block(label: str, rows: slice, cols: slice, shape: GridShape | None = None) -> DescriptorGrid:
    """A grid with one rectangle of the label."""
    shape = shape or GridShape(16, 16)
    cells = np.zeros((shape.rows, shape.cols), dtype=np.int32)
    cells[rows, cols] = 1
    return DescriptorGrid.build(("others", label), cells)
