"""Chats to batches: the loss is on answer tokens alone, with a weight on each if asked for.

TRL's own collator for images tokenizes an answer as one text. Decoding, however, continues behind
`<seg>`, so here an answer is tokenized in the same pieces: training sees the tokens that decoding
continues. The image is stretched as the family's row says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from text4seg.codec.answer import SEG_CLOSE, SEG_OPEN
from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS
from text4seg.training.chats import Chat, text_of

if TYPE_CHECKING:
    from torch import Tensor

    from text4seg.codec import Span, Syntax
    from text4seg.models.hf.prompter import Prompter
    from text4seg.training.recipe import LossSection

IGNORED = -100  # the label that torch's cross-entropy skips
_PIECES = re.compile(rf"(?<={SEG_OPEN})|(?={SEG_CLOSE})")


@dataclass(slots=True)
class TokenRow:
    """One sample as tokens.

    Attributes:
        ids: Token ids of prompt and answers.
        labels: The same for answers, `IGNORED` elsewhere.
        weights: Loss weights of the labels, 0 elsewhere.
    """

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def prompt(self, ids: Sequence[int]) -> None:
        """Append tokens without a loss."""
        self.ids += ids
        self.labels += [IGNORED] * len(ids)
        self.weights += [0.0] * len(ids)

    def answer(self, ids: Sequence[int], weights: Sequence[float]) -> None:
        """Append tokens to learn."""
        self.ids += ids
        self.labels += ids
        self.weights += weights


class MaskWeights:
    """Loss weights of a mask's tokens.

    Args:
        loss: The weights of counts and of rows that are background throughout.
        syntax: The syntax of the masks' format, which tells counts from labels.
    """

    def __init__(self, loss: LossSection, syntax: Syntax) -> None:
        self._loss, self._syntax = loss, syntax

    def weigh(self, text: str, tokens: Sequence[bytes]) -> list[float]:
        """Weigh tokens.

        Args:
            text: A mask's text.
            tokens: What each of its tokens writes.

        Returns:
            A weight for each token. A token of several rows counts as the first of them; one of
            which only a part is a count counts as none.
        """
        rows: list[float] = []
        counts: list[bool] = []
        for line in _split_lines(text, self._syntax.spans(text)):
            # A row of background alone says little: all its labels are the word for background.
            labels = {text[span.start : span.end] for span in line if span.kind == "label"}
            weight = self._loss.background if labels == {OTHERS} else 1.0
            for span in line:
                length = len(text[span.start : span.end].encode())
                rows += [weight] * length
                counts += [span.kind == "count"] * length
        weights, start = [], 0
        for token in tokens:
            end = start + len(token)
            # A token that begins a word brings the space before it, which is no part of a count.
            bare = counts[end - len(token.lstrip(b" ")) : end]
            weight = rows[min(start, len(rows) - 1)] if rows else 1.0
            weights.append(weight * self._loss.digits if bare and all(bare) else weight)
            start = end
        return weights


def _split_lines(text: str, spans: Iterable[Span]) -> Iterator[list[Span]]:
    """The spans of each line; a line break ends its line."""
    line: list[Span] = []
    for span in spans:
        line.append(span)
        if "\n" in text[span.start : span.end]:
            yield line
            line = []
    if line:
        yield line


class Collator:
    """Makes batches of chats for one model.

    Args:
        prompter: Makes the model's inputs.
        pad: The token that fills up shorter samples; it is masked and never learned.
        weights: Loss weights; None leaves `loss_weights` out of the batch.
    """

    def __init__(self, prompter: Prompter, *, pad: int, weights: MaskWeights | None = None) -> None:
        self._prompter, self._pad, self._weights = prompter, pad, weights

    def batch(self, chats: Sequence[Chat]) -> dict[str, Tensor]:
        """Make a batch.

        Args:
            chats: Its samples.

        Returns:
            `input_ids`, `attention_mask` and `labels` of shape `b t`, `loss_weights` of the same if
            there are weights, and the tensors of the images.

        Raises:
            InputError: An image cannot be read, or a chat cannot be written in the template.
        """
        made = [self.encode(chat) for chat in chats]
        length = max(len(row.ids) for row, _ in made)
        short = [length - len(row.ids) for row, _ in made]
        rows = [row for row, _ in made]
        batch = {
            "input_ids": _stack([row.ids for row in rows], short, self._pad),
            "attention_mask": _stack([[1] * len(row.ids) for row in rows], short, 0),
            "labels": _stack([row.labels for row in rows], short, IGNORED),
        }
        if self._weights is not None:
            weights = [
                row.weights + [0.0] * missing for row, missing in zip(rows, short, strict=True)
            ]
            batch["loss_weights"] = torch.tensor(weights)
        # What comes with a token (token types) is padded like the tokens; what belongs to an image
        # is joined, as families concatenate the patches of all images of a batch.
        for name in made[0][1]:
            parts = [extras[name] for _, extras in made]
            if isinstance(parts[0], list):
                batch[name] = _stack(parts, short, 0)
            else:
                batch[name] = torch.cat(parts)
        return batch

    def encode(self, chat: Chat) -> tuple[TokenRow, dict[str, Any]]:
        """Tokenize a chat.

        Args:
            chat: The chat.

        Returns:
            Its tokens, and what else the model takes: a list has an item for each token, a tensor
            belongs to the image.

        Raises:
            InputError: The image cannot be read, or the chat cannot be written in the template.
        """
        prompter, row = self._prompter, TokenRow()
        # The image stands in the first question, so the processor is needed once.
        turns = [i for i, message in enumerate(chat.messages) if message["role"] == "assistant"]
        written = prompter.text(chat.messages[: turns[0]])
        inputs = prompter.inputs(written, prompter.square(chat.open_image()))
        shape = inputs["input_ids"].shape
        types = {
            name: value[0].tolist()
            for name, value in inputs.items()
            if name != "input_ids" and value.shape == shape
        }
        row.prompt(inputs["input_ids"][0].tolist())
        # The template is applied once per turn, so that every prompt is the one of inference.
        for place, turn in enumerate(turns):
            answer = text_of(chat.messages[turn])
            self._answer(row, answer)
            written += answer
            if place + 1 < len(turns):
                written = self._next_question(row, written, chat, turns[place + 1])
        for kept in types.values():
            kept.extend([prompter.family.answer_type] * (len(row.ids) - len(kept)))
        image = {k: v for k, v in inputs.items() if k != "input_ids" and k not in types}
        return row, {**types, **image}

    def _answer(self, row: TokenRow, answer: str) -> None:
        inside = False  # only what is between <seg> and </seg> has syntax to weigh
        for piece in _PIECES.split(answer):
            ids = self._prompter.encode(piece)
            weights = [1.0] * len(ids)
            if inside and self._weights is not None:
                tokens = self._prompter.vocabulary.tokens
                weights = self._weights.weigh(piece, [tokens[token] for token in ids])
            row.answer(ids, weights)
            inside = piece.endswith(SEG_OPEN)
        # Without a learned end the model would write on behind </seg>.
        row.answer([self._prompter.vocabulary.eos], [1.0])

    def _next_question(self, row: TokenRow, written: str, chat: Chat, turn: int) -> str:
        text = self._prompter.text(chat.messages[:turn])
        if not text.startswith(written):
            raise InputError(
                f"{chat.source}: the model's chat template rewrites earlier turns, so several "
                "questions cannot stand in one sample; write one question a sample"
            )
        tokenizer = self._prompter.processor.tokenizer
        ids = tokenizer(text[len(written) :], add_special_tokens=False)["input_ids"]
        # The template may end the answer with the token that was appended above.
        row.prompt(ids[1:] if ids[:1] == [self._prompter.vocabulary.eos] else ids)
        return text


def _stack(rows: Sequence[Sequence[int]], short: Sequence[int], filling: int) -> Tensor:
    return torch.tensor(
        [[*row, *[filling] * missing] for row, missing in zip(rows, short, strict=True)]
    )


class IndexedCollator:
    """A collator of numbered chats that keeps their numbers in the batch, for messages."""

    def __init__(self, collator: Collator, chats: Sequence[Chat]) -> None:
        self._collator, self._chats = collator, chats

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a batch of `{"number": index of a chat}`; its indices are `sample_index`."""
        numbers = [row["number"] for row in rows]
        batch = self._collator.batch([self._chats[number] for number in numbers])
        batch["sample_index"] = torch.tensor(numbers)
        return batch
