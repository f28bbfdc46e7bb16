"""How an image and a question become a model's inputs; training and inference share it.

A prompt is tokenized in pieces: the chat template up to where the answer begins, the answer's
prefix, the mask. So training sees the very tokens that decoding continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from text4seg.core.errors import InputError, WeightsError
from text4seg.models.families import Family
from text4seg.models.hf.token_table import token_table

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models.interface import TokenTable

Message = Mapping[str, Any]
"""`{"role", "content"}` of a chat; the content is a list of `{"type": "image" | "text", …}`."""


def stretch(image: Image, side: int) -> Image:
    """Stretch an image to a square.

    Args:
        image: Any mode.
        side: In pixels.

    Returns:
        RGB of `side` × `side`.
    """
    from PIL.Image import Resampling

    return image.convert("RGB").resize((side, side), Resampling.BICUBIC)


class Prompter:
    """Makes a model's inputs from images and chats.

    Args:
        family: The model's row in the table of families.
        processor: The processor of transformers.
        side: The side of the square that images are stretched to, in pixels.
        eos: The token that ends an answer.
    """

    def __init__(self, family: Family, processor: Any, *, side: int, eos: int) -> None:
        self.family, self.processor, self.side = family, processor, side
        self.vocabulary: TokenTable = token_table(processor.tokenizer, eos=eos)
        # A question must not spell these: the tokenizer would read them as control tokens.
        self._control = [self._word(token) for token in self.vocabulary.special]
        # A family with a template of our own has no start token to add.
        self._start = "" if family.template is not None else start_of(processor.tokenizer)

    def _word(self, token: int) -> str:
        return self.vocabulary.tokens[token].decode()

    def square(self, image: Image) -> Image:
        """The image, stretched to the model's square."""
        return stretch(image, self.side)

    def text(self, messages: Sequence[Message]) -> str:
        """Write a chat as text, up to where the next answer begins.

        Args:
            messages: The turns so far.

        Returns:
            The text in the model's chat template.

        Raises:
            WeightsError: The folder's chat template cannot be used.
        """
        from jinja2 import TemplateError

        try:
            text = self.processor.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=True,
            )
        except (TemplateError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"the model's chat template cannot be used: {error}") from error
        return str(text)

    def inputs(self, text: str, square: Image) -> dict[str, Any]:
        """Make the model's inputs of a prompt.

        Args:
            text: The prompt in the chat template.
            square: The stretched image.

        Returns:
            `input_ids` of shape `1 n`, the pixels, and what the family needs besides.

        Raises:
            WeightsError: The processor does not fit the model.
        """
        # A template may leave the token that starts a text to the tokenizer (LLaVA-1.5's does) or
        # write it. Either way it is there once.
        try:
            made = self.processor(
                text=[text if text.startswith(self._start) else self._start + text],
                images=[square],
                return_tensors="pt",
                add_special_tokens=False,
                images_kwargs=dict(self.family.image_options),
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise WeightsError(
                f"the processor of {self.family.name} cannot read a square of {self.side} pixels: "
                f"{error}"
            ) from error
        # The mask would be all ones, and labels are made by the collator.
        dropped = ("attention_mask", "labels")
        return {name: value for name, value in made.items() if name not in dropped}

    def encode(self, text: str) -> list[int]:
        """Tokenize text that continues a text; the spelling of a control token stays text."""
        return list(self.vocabulary.encode(text.encode()))

    def check_question(self, question: str) -> None:
        """Raise `InputError` where a question spells a control token of the model."""
        # Such a question would end the user's turn, or insert an image, for the model.
        for word in self._control:
            if word and word in question:
                raise InputError(
                    f"the question spells {word!r}, a control token of this model; leave it out"
                )


def start_of(tokenizer: Any) -> str:
    """The token that a tokenizer puts before a text by itself; empty if it puts none."""
    # Asking the tokenizer is safer than its flags, which some tokenizers ignore.
    start = tokenizer.bos_token
    if not start or tokenizer("a")["input_ids"][:1] != [tokenizer.bos_token_id]:
        return ""
    return str(start)


def chat(question: str) -> list[Message]:
    """The chat of one question about one image."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    return [{"role": "user", "content": content}]
