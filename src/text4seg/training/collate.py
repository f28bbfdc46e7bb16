"""Chats to batches: the loss stands on answer tokens alone, and a weight on each if asked for.

TRL's own collator for images tokenizes an answer as one text. Decoding, however, goes on behind
`<seg>`, so here an answer is tokenized in the same pieces: what training sees is what decoding
continues. The image is stretched as the family's row says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from text4seg.codec.answer import SEG_CLOSE, SEG_OPEN
from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS
from text4seg.training.chats import Chat, text_of

if TYPE_CHECKING:
    from torch import Tensor

    from text4seg.models.hf.prompts import Prompter
    from text4seg.training.recipe import Loss

IGNORED = -100
_PIECES = re.compile(rf"(?<={SEG_OPEN})|(?={SEG_CLOSE})")
_BACKGROUND = re.compile(rf"{OTHERS}( \*\d+)?(\| {OTHERS}( \*\d+)?)*")


@dataclass(slots=True)
class TokenRow:
    """One sample as tokens. `labels` are -100 but for answers; `weights` belong to the labels."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def prompt(self, ids: Sequence[int]) -> None:
        self.ids += ids
        self.labels += [IGNORED] * len(ids)
        self.weights += [0.0] * len(ids)

    def answer(self, ids: Sequence[int], weights: Sequence[float]) -> None:
        self.ids += ids
        self.labels += ids
        self.weights += weights


class Collator:
    """Batches of chats for one family.

    Args:
        prompter: What makes the family's inputs.
        pad: The token that fills up shorter samples; never seen, never learned.
        loss: Weights other than one; None leaves `loss_weights` out of the batch.
    """

    def __init__(self, prompter: Prompter, *, pad: int, loss: Loss | None = None) -> None:
        self._prompter, self._pad, self._loss = prompter, pad, loss

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Examples hold a `Chat` as `chat`.

        Raises:
            InputError: An image cannot be read, or a chat cannot be written in the template.
        """
        return self.batch([example["chat"] for example in examples])

    def batch(self, chats: Sequence[Chat]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask` and `labels` of `b t`, and the images' tensors."""
        made = [self.encode(chat) for chat in chats]
        length = max(len(row.ids) for row, _ in made)
        short = [length - len(row.ids) for row, _ in made]
        rows = [row for row, _ in made]
        batch = {
            "input_ids": _stack([row.ids for row in rows], short, self._pad),
            "attention_mask": _stack([[1] * len(row.ids) for row in rows], short, 0),
            "labels": _stack([row.labels for row in rows], short, IGNORED),
        }
        if self._loss is not None:
            weights = [
                row.weights + [0.0] * missing for row, missing in zip(rows, short, strict=True)
            ]
            batch["loss_weights"] = torch.tensor(weights)
        first = made[0][1]
        for name in first:
            parts = [extras[name] for _, extras in made]
            if isinstance(parts[0], list):
                batch[name] = _stack(parts, short, 0)
            else:
                batch[name] = torch.cat(parts)
        return batch

    def encode(self, chat: Chat) -> tuple[TokenRow, dict[str, Any]]:
        """A chat as tokens; and what comes with them: lists a token, tensors an image."""
        prompter, row = self._prompter, TokenRow()
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
        inside = False
        for piece in _PIECES.split(answer):
            ids = self._prompter.encode(piece)
            row.answer(ids, self._weights(piece, ids, inside=inside))
            inside = piece.endswith(SEG_OPEN)
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
        row.prompt(ids[1:] if ids[:1] == [self._prompter.vocabulary.eos] else ids)
        return text

    def _weights(self, piece: str, ids: Sequence[int], *, inside: bool) -> list[float]:
        if self._loss is None or not inside:
            return [1.0] * len(ids)
        dull = [bool(_BACKGROUND.fullmatch(line.strip(" "))) for line in piece.split("\n")]
        weights, line = [], 0
        for token in ids:
            written = self._prompter.vocabulary.tokens[token]
            weight = self._loss.background if dull[min(line, len(dull) - 1)] else 1.0
            if written.strip().isdigit():
                weight *= self._loss.digits
            weights.append(weight)
            line += written.count(b"\n")
        return weights


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
