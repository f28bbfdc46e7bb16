"""A question whose answer is words, put to an image that nano has opened."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from text4seg.core.errors import InputError, WeightsError
from text4seg.models.interface import PreparedPrompt
from text4seg.models.nano.lazy_logits import LogitRows
from text4seg.models.nano.text.question_types import KINDS, read_question
from text4seg.models.nano.vqa_head import choose_names, gather_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import DynamicCache, LlamaModel

    from text4seg.models.interface import TokenTable
    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.lazy_logits import LogitRow
    from text4seg.models.nano.nano_model import NanoModel
    from text4seg.models.nano.vqa_head import VqaHead

UNTAUGHT = (
    "these weights of nano were not taught to answer in words; load weights that were, or teach "
    "these: python -m projects.nano vqa --start FOLDER --out FOLDER --data DIR "
    "--work DIR (docs/nano.md)"
)


def ask_in_words(
    chat: NanoModel, image: ImageState, cache: DynamicCache, prefix: Sequence[int], question: str
) -> PreparedPrompt:
    """Ready for the first token of the answer; `cache` holds the `prefix` and is not changed."""
    model, text = chat.model, chat.text
    reader = model.vqa_head
    if reader is None:
        raise WeightsError(UNTAUGHT)
    check_words(question, chat.vocabulary)
    with torch.inference_mode():
        given = find_given(chat, reader, image, question)
    step = WordStep(model.language, copy.deepcopy(cache), given)
    prompt = chat.encode(question) + text.after_image("", "")
    length = len(prefix) + len(prompt)
    return PreparedPrompt(
        step,
        step.begin(prompt),
        chat.vocabulary,
        length,
        room=model.config.language["max_position_embeddings"] - length,
    )


def check_words(question: str, vocabulary: TokenTable) -> None:
    """Raise `InputError` where nothing but control tokens are asked."""
    left = question
    for token in vocabulary.special:
        left = left.replace(vocabulary.tokens[token].decode(), "")
    if not any(letter.isalnum() for letter in left):
        raise InputError(f"the question holds control tokens only: {question[:60]!r}")


def find_given(chat: NanoModel, reader: VqaHead, image: ImageState, question: str) -> Tensor:
    """What the tokens of the answer are given, `t hidden`."""
    asked = read_question(question)
    if asked.kind in ("names", "name"):
        named = reader.named(image)
        most = {"most": 1} if asked.kind == "name" else {}
        names = choose_names(named, chat.model.config.names, **most)
        tokens = [*chat.encode(", ".join(names)), chat.text.end]
        led: Tensor = reader.lead(chat.model.language.embed_tokens(torch.tensor(tokens)))
        return led
    evidence = reader.mean[None]
    if asked.expression is not None and chat.reader is not None:
        evidence = gather_evidence(
            chat.model, chat.reader, chat.encode, image, [asked.expression]
        ).to(evidence)
    kind = torch.tensor([KINDS.index(asked.kind)])
    slots: Tensor = reader(evidence, kind)[0]
    return slots


class WordStep:
    """Feeds tokens of an answer in words, each with what leads to the one after it."""

    def __init__(self, language: LlamaModel, cache: DynamicCache, given: Tensor) -> None:
        """`given t hidden`: the first is for the token that the prompt is followed by."""
        self._language, self._cache, self._given, self._at = language, cache, given, 0

    def begin(self, prompt: Sequence[int]) -> LogitRow:
        """Feed the rest of the prompt; the logits after it."""
        return self._feed(prompt, len(prompt) - 1)[len(prompt) - 1]

    def __call__(self, tokens: Sequence[int]) -> LogitRows:
        return self._feed(tokens, 0)

    def _feed(self, tokens: Sequence[int], plain: int) -> LogitRows:
        embed = self._language.embed_tokens
        with torch.inference_mode():
            embedded = embed(torch.tensor([list(tokens)])).clone()
            here = self._given[self._at : self._at + len(tokens) - plain]
            embedded[0, plain : plain + len(here)] += here
            self._at += len(tokens) - plain
            out = self._language(
                inputs_embeds=embedded, past_key_values=self._cache, use_cache=True
            )
        return LogitRows(out.last_hidden_state[0], embed.weight)

    def cut(self, n: int) -> None:
        if n:
            self._cache.crop(-n)
            self._at -= n
