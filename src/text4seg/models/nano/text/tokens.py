"""Prompts of nano as tokens: chat turns of SmolLM2, with places for the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from text4seg.core.errors import WeightsError
from text4seg.models.nano.text.cell_tracker import CellTracker

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TURN = "<|im_end|>"
_BEFORE_IMAGE = "<|im_start|>user\n"
_BETWEEN = f"{END_OF_TURN}\n<|im_start|>assistant\n"


class PromptTokenizer:
    def __init__(self, tokenizer: Tokenizer, *, image_token: int, image_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.cell_tracker = CellTracker.from_tokenizer(tokenizer)
        end = tokenizer.token_to_id(END_OF_TURN)
        if end is None:
            raise WeightsError(f"the tokenizer has no {END_OF_TURN}: it is not SmolLM2's")
        self.end: int = end
        self._image = [image_token] * image_tokens

    def encode(self, text: str) -> list[int]:
        """Text → tokens; a special token's own spelling becomes that token."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def image_prefix(self) -> list[int]:
        """What is the same for every question of an image."""
        return self.encode(_BEFORE_IMAGE) + self._image

    def after_image(self, question: str, answer_prefix: str) -> list[int]:
        return self.encode(question) + self.encode(_BETWEEN) + self.encode(answer_prefix)

    def prompt(self, question: str, answer_prefix: str) -> list[int]:
        return self.image_prefix() + self.after_image(question, answer_prefix)
