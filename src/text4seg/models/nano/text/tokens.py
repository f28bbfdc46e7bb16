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
    """Makes prompts of images, questions and beginnings of answers.

    Args:
        tokenizer: SmolLM2's.
        image_token: The token that holds an image token's place.
        image_tokens: How many stand for an image.

    Raises:
        WeightsError: The tokenizer has no token that ends a turn.
    """

    def __init__(self, tokenizer: Tokenizer, *, image_token: int, image_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.cell_tracker = CellTracker.from_tokenizer(tokenizer)
        # Any other tokenizer would be silently wrong from here on.
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
        """The prompt up to the question: the same for every question of an image."""
        return self.encode(_BEFORE_IMAGE) + self._image

    def after_image(self, question: str, answer_prefix: str) -> list[int]:
        """The question, the change of turns and the beginning of the answer."""
        # Encoded apart, so that no token spans a border between two of them.
        return self.encode(question) + self.encode(_BETWEEN) + self.encode(answer_prefix)

    def prompt(self, question: str, answer_prefix: str) -> list[int]:
        """A whole prompt."""
        return self.image_prefix() + self.after_image(question, answer_prefix)


def token_bytes(text: PromptTokenizer) -> list[bytes]:
    """The bytes of every token of a byte-level BPE, by id.

    Byte-level tokenizers spell each byte as a printable character (GPT-2, Radford et al. 2019);
    added tokens are spelled as they are.
    """
    # Decoding works on bytes, so each printable stand-in is converted back.
    back = {stand_in: byte for byte, stand_in in _stand_ins().items()}
    tokenizer = text.tokenizer
    added = tokenizer.get_added_tokens_decoder()
    table = []
    for index in range(tokenizer.get_vocab_size()):
        token = tokenizer.id_to_token(index) or ""
        table.append(token.encode() if index in added else bytes(back[letter] for letter in token))
    return table


def _stand_ins() -> dict[int, str]:
    """GPT-2's printable character for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters
