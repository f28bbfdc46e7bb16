"""Questions whose answer is words: the prompt, and the steps of the language model behind it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from text4seg.core.errors import InputError, WeightsError
from text4seg.models.interface import PreparedPrompt
from text4seg.models.nano.lazy_logits import LogitRows
from text4seg.models.nano.text.phrases import find_attributes, gather_phrases
from text4seg.models.nano.text.question_types import QUESTION_TYPES, parse_question
from text4seg.models.nano.vqa_evidence import find_evidence
from text4seg.models.nano.vqa_head import choose_names
from text4seg.prompts import question as mask_question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import DynamicCache, LlamaModel

    from text4seg.models.interface import TokenTable
    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.lazy_logits import LogitRow
    from text4seg.models.nano.modeling import NanoForConditionalGeneration
    from text4seg.models.nano.text.phrases import PhraseReader
    from text4seg.models.nano.text.tokens import PromptTokenizer
    from text4seg.models.nano.vqa_head import VqaHead

UNTAUGHT = (
    "these weights of nano were not taught to answer in words; load weights that were, or teach "
    "these: python -m projects.nano vqa --start FOLDER --out FOLDER --data DIR "
    "--work DIR (docs/nano.md)"
)


@dataclass(frozen=True, slots=True)
class VqaPrompter:
    """Prepares questions whose answer is words.

    Attributes:
        model: The weights.
        text: Makes prompts.
        reader: Reads phrases off questions; None for weights without open matching.
        encode: A user's words → tokens, control tokens as ordinary text.
        vocabulary: The tokenizer as bytes.
    """

    model: NanoForConditionalGeneration
    text: PromptTokenizer
    reader: PhraseReader | None
    encode: Callable[[str], list[int]]
    vocabulary: TokenTable

    def prepare(
        self, question: str, image: ImageState, cache: DynamicCache, *, prefix: Sequence[int]
    ) -> PreparedPrompt:
        """Prefill a question.

        Args:
            question: As the user asked it.
            image: The encoded image.
            cache: Of the language model, behind `prefix`; it is copied.
            prefix: Tokens of the prompt up to the question.

        Returns:
            A prompt, ready for the first token of the answer.

        Raises:
            WeightsError: The weights were not taught to answer in words.
            InputError: The question holds control tokens only.
        """
        head = self.model.vqa_head
        if head is None:
            raise WeightsError(UNTAUGHT)
        # Control tokens are dropped when the question is read; nothing may be left to answer.
        check_words(question, self.vocabulary)
        with torch.inference_mode():
            given = self.lead_tokens(head, image, question)
        # A copy of the cache: the image's prompt is shared by all its questions.
        step = WordStep(self.model.language, copy.deepcopy(cache), given)
        prompt = self.encode(question) + self.text.after_image("", "")
        length = len(prefix) + len(prompt)
        return PreparedPrompt(
            step,
            step.begin(prompt),
            self.vocabulary,
            length,
            max_context=self.model.config.language["max_position_embeddings"] - length,
        )

    def lead_tokens(self, head: VqaHead, image: ImageState, question: str) -> Tensor:
        """What the tokens of the answer are given, `t hidden`."""
        asked = parse_question(question)
        if asked.kind in ("names", "name"):
            # The language model spells the names; what is in the image is decided here.
            named = head.named(image)
            most = {"most": 1} if asked.kind == "name" else {}
            names = choose_names(named, self.model.config.names, **most)
            tokens = [*self.encode(", ".join(names)), self.text.end]
            led: Tensor = head.lead(self.model.language.embed_tokens(torch.tensor(tokens)))
            return led
        # A question of no thing is answered from the mean evidence: by its kind alone.
        evidence = head.mean[None]
        if asked.expression is not None and self.reader is not None:
            evidence = gather_evidence(
                self.model, self.reader, self.encode, image, [asked.expression]
            ).to(evidence)
        kind = torch.tensor([QUESTION_TYPES.index(asked.kind)])
        slots: Tensor = head(evidence, kind)[0]
        return slots


def check_words(question: str, vocabulary: TokenTable) -> None:
    """Raise `InputError` where a question holds nothing but control tokens."""
    # Longer control tokens may contain shorter ones; what is left only has to hold a letter.
    left = question
    for token in vocabulary.special:
        left = left.replace(vocabulary.tokens[token].decode(), "")
    if not any(letter.isalnum() for letter in left):
        raise InputError(f"the question holds control tokens only: {question[:60]!r}")


def gather_evidence(
    model: NanoForConditionalGeneration,
    reader: PhraseReader,
    encode: Callable[[str], list[int]],
    image: ImageState,
    expressions: Sequence[str],
) -> Tensor:
    """The evidence for several expressions in one image.

    Args:
        model: With open matching and attributes.
        reader: Reads phrases off questions.
        encode: A user's words → tokens.
        image: One encoded image.
        expressions: What is looked for.

    Returns:
        `q e`; see `find_evidence`.
    """
    # Evidence is found as for a mask question, which the fusion was trained with.
    read = [reader.read(mask_question(expression)) for expression in expressions]
    rows = [torch.tensor(encode(one.text)) for one in read]
    pad = nn.utils.rnn.pad_sequence
    words = pad(rows, batch_first=True)
    mask = pad([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
    known = set(model.config.look_alikes)
    taken = torch.tensor([not known.isdisjoint(find_attributes(one.text)[0]) for one in read])
    # One image for all questions: its encoding is repeated, not computed again.
    return find_evidence(
        model.fusion,
        image.select(torch.zeros(len(read), dtype=torch.long)),
        model.language.embed_tokens(words),
        mask,
        gather_phrases(read),
        taken,
    )


class WordStep:
    """The language model behind the prompt of a question whose answer is words.

    Each token of the answer is given the vector that leads to the one after it.
    """

    def __init__(self, language: LlamaModel, cache: DynamicCache, given: Tensor) -> None:
        """Begin behind `cache`; `given t hidden` starts with what leads to the first token."""
        self._language, self._cache, self._given, self._at = language, cache, given, 0

    def begin(self, prompt: Sequence[int]) -> LogitRow:
        """Feed the rest of the prompt; the logits after it."""
        return self._feed(prompt, len(prompt) - 1)[len(prompt) - 1]

    def __call__(self, tokens: Sequence[int]) -> LogitRows:
        """Feed tokens of the answer; row i of the result are the logits after token i."""
        return self._feed(tokens, 0)

    def _feed(self, tokens: Sequence[int], plain: int) -> LogitRows:
        """Feed tokens, of which the first `plain` are given nothing."""
        embed = self._language.embed_tokens
        with torch.inference_mode():
            embedded = embed(torch.tensor([list(tokens)])).clone()
            # Answers may be longer than what is given: then the model goes on by itself.
            here = self._given[self._at : self._at + len(tokens) - plain]
            embedded[0, plain : plain + len(here)] += here
            self._at += len(tokens) - plain
            out = self._language(
                inputs_embeds=embedded, past_key_values=self._cache, use_cache=True
            )
        return LogitRows(out.last_hidden_state[0], embed.weight)

    def rollback(self, n: int) -> None:
        """Drop the last `n` fed tokens."""
        if n:
            self._cache.crop(-n)
            self._at -= n
