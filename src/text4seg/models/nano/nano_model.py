"""Nano behind the protocol of all models: an image is opened once, then questions are asked."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import DynamicCache

from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS
from text4seg.models.defaults import ModelDefaults
from text4seg.models.interface import PreparedPrompt, TokenTable
from text4seg.models.nano.checkpoint import load_model
from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.encoders.parts import Parts, get_parts
from text4seg.models.nano.lazy_logits import LogitRows
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.text.cell_tracker import OUTSIDE_MASK, CellPointer, WriterState
from text4seg.models.nano.text.phrases import (
    PhraseReader,
    find_attributes,
    find_phrases,
    gather_phrases,
)
from text4seg.models.nano.text.tokens import PromptTokenizer
from text4seg.models.nano.threads import settle_threads
from text4seg.models.nano.vqa_session import ask_in_words
from text4seg.models.ragged import RaggedCache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from jaxtyping import Float32
    from PIL.Image import Image
    from torch import Tensor

    from text4seg.models.nano.config import ThresholdKind
    from text4seg.models.nano.encoders.sentences import Sentences
    from text4seg.models.nano.fusion import ImageState

# Words that tell one of several of a kind apart, as the questions in training did.
_PLACED = re.compile(
    r"\b(left|right|top|bottom|upper|lower|leftmost|rightmost"
    r"|big|bigger|biggest|large|larger|largest|small|smaller|smallest)\b",
    re.IGNORECASE,
)
# Taken off the odds of every cell of an absent thing: more than any logit of nano's.
_ABSENT_ODDS = 50.0
SHIPPED = Path(__file__).parent / "weights"
OWN_DEFAULTS = ModelDefaults(format="sd")


class NanoModel:
    """Nano, loaded: eyes, model and tokenizer."""

    default_format = "sd"

    def __init__(
        self,
        model: NanoForConditionalGeneration,
        parts: Parts,
        defaults: ModelDefaults = OWN_DEFAULTS,
    ) -> None:
        self.defaults = defaults
        self.model = model.eval()
        self.text = PromptTokenizer(
            parts.tokenizer(),
            image_token=model.config.image_token,
            image_tokens=model.config.image_tokens,
        )
        model.set_cell_tracker(self.text.cell_tracker)
        self._parts = parts
        self._plain = parts.tokenizer()
        self._plain.encode_special_tokens = True
        self.embed: Sentences | None = None
        self.reader: PhraseReader | None = None
        matching = model.fusion.matching
        if matching is not None:
            self.embed = parts.sentences()
            self.reader = PhraseReader(self.embed, matching, cast("NanoConfig", model.config))
            model.set_question_reader(partial(self.reader.read_tokens, self._plain))

    @classmethod
    def load(cls, folder: Path | None = None) -> NanoModel:
        """From `folder`, by default the weights that come with the package.

        Computes with as many threads as there are free cores (`threads.py`).

        Raises:
            WeightsError: They are missing or damaged, or a pretrained part cannot be fetched.
            InputError: TEXT4SEG_THREADS is no number of threads.
        """
        settle_threads()
        parts = get_parts()
        folder = folder or SHIPPED
        return cls(load_model(folder, parts), parts, ModelDefaults.load(folder, OWN_DEFAULTS))

    def encode(self, text: str) -> list[int]:
        """A user's words as tokens: the spelling of a control token (`<filename>`) stays text."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    @cached_property
    def vision_encoder(self) -> Any:
        return self._parts.vision_encoder()

    @cached_property
    def vocabulary(self) -> TokenTable:
        tokens = token_bytes(self.text)
        tokenizer = self.text.tokenizer
        special = [
            token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special
        ]
        return TokenTable(tokens, self.text.end, lambda text: self.encode(text.decode()), special)

    @cached_property
    def taught_names(self) -> frozenset[str]:
        """Names that labels of the writing lesson were made of; a user's own stand behind them."""
        return frozenset(NanoConfig.from_pretrained(SHIPPED).names)

    @cached_property
    def bias(self) -> dict[int, float] | None:
        """Offset of the word others, chosen on validation images: argmax does not answer best."""
        offset = self.model.config.others_bias
        if not offset:
            return None
        return {self.text.encode(spaced)[0]: offset for spaced in (OTHERS, f" {OTHERS}")}

    def ask(self, image: ImageState, question: str) -> Target:
        """Where the fusion sees what the question asks for, before any text is written."""
        read = self.reader.read(question) if self.reader else None
        words = torch.tensor([self.encode(read.text if read else question)])
        phrases = gather_phrases([read]) if read else None
        with torch.inference_mode():
            states, logits = self.model.ground(
                image, words, torch.ones_like(words, dtype=torch.bool), phrases
            )
        absent = self.is_absent(question, logits, read.text if read else question)
        return Target(states, logits, absent)

    def is_absent(self, question: str, logits: Tensor, read: str | None = None) -> bool:
        """Whether no cell's target logit reaches its threshold: the text must stay empty then.

        It keeps the text from naming one stray cell of what is not there. `read` is the question
        as the fusion reads it, where that is known already.
        """
        threshold = self.model.config.threshold(self.threshold_kind(question, read))
        return threshold is not None and float(logits.max()) < threshold

    def threshold_kind(self, question: str, read: str | None = None) -> ThresholdKind:
        """Which threshold of the configuration decides whether the thing is there."""
        config = self.model.config
        related = config.attributes and find_attributes(question)[1].relation
        if config.position_threshold is not None and not related and _PLACED.search(question):
            return "position"
        if config.look_alike_threshold is not None:
            if read is None:
                read = self.reader.read(question).text if self.reader else question
            named = find_attributes(read)[0] if config.attributes else find_phrases(read)
            if not set(config.look_alikes).isdisjoint(named):
                return "look_alike"
        return "presence"

    def join(self, asked: Sequence[PreparedPrompt]) -> NanoBatch:
        """Let several questions, of any images but of one grid, share their passes."""
        steps = [one.step for one in asked if isinstance(one.step, NanoStep)]
        if len(steps) < len(asked):
            raise InputError("only questions that this model was asked can share its passes")
        return NanoBatch(self.model, steps)

    def open(self, image: Image) -> NanoSession:
        return NanoSession(self, self.vision_encoder.encode(image))


@dataclass(frozen=True, slots=True)
class Target:
    """Of one question: `states 1 256 d` and `logits 1 256` of the cells, whether it is absent."""

    states: Tensor
    logits: Tensor
    absent: bool


class NanoSession:
    """An image: its state in the fusion, and the language model's cache of the prompt up to it."""

    asks_plainly = True
    """Questions do not name the grid: its cells are told to the language model one by one."""

    def __init__(self, chat: NanoModel, features: Tensor) -> None:
        self._chat = chat
        self._prefix = chat.text.image_prefix()
        self._cache = DynamicCache(config=chat.model.language.config)
        model = chat.model
        with torch.inference_mode():
            self._image: ImageState = model.fusion.encode_image(features[None].to(model.dtype))
            ids = torch.tensor([self._prefix])
            embedded = model.get_input_embeddings()(ids)
            places = ids == model.config.image_token
            embedded = embedded.masked_scatter(
                places[..., None], model.image_embeddings(self._image)
            )
            model.language(inputs_embeds=embedded, past_key_values=self._cache, use_cache=True)

    def spell(self, expression: str) -> str:
        """The label to write: with `the`, unless it is a name that it learned to write bare.

        The lesson's labels were such; of another word its text marks nothing, whatever it sees.
        """
        bare = expression.strip()
        article, _, rest = bare.partition(" ")
        if article.lower() == "the" and rest:
            return f"the {rest}"
        return expression if bare in self._chat.taught_names else f"the {bare}"

    def ask(
        self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
    ) -> PreparedPrompt:
        chat, text = self._chat, self._chat.text
        asked = chat.encode(question)
        target = chat.ground(self._image, question)
        step = NanoStep(
            chat.model,
            copy.deepcopy(self._cache),
            states=target.states,
            logits=target.logits,
            grid=grid,
            place=text.cell_tracker.after(self._prefix),
        )
        prompt = asked + text.after_image("", answer_prefix)
        first = step(prompt)[-1]
        length = len(self._prefix) + len(prompt)
        return PreparedPrompt(
            step,
            first,
            chat.vocabulary,
            length,
            bias=chat.bias,
            cell_odds=step.odds - (_ABSENT_ODDS if target.absent else 0.0),
            room=chat.model.config.language["max_position_embeddings"] - length,
            absent=target.absent,
        )

    def ask_words(self, question: str) -> PreparedPrompt:
        """Ready for the first token of an answer in words.

        Raises:
            WeightsError: The weights were not taught to answer in words.
        """
        return ask_in_words(self._chat, self._image, self._cache, self._prefix, question)


class NanoStep:
    """Feeds tokens after the cache, each with the state of the cell that the next one writes."""

    def __init__(
        self,
        model: NanoForConditionalGeneration,
        cache: DynamicCache,
        *,
        states: Tensor,
        logits: Tensor,
        grid: tuple[int, int],
        place: WriterState = WriterState(),  # noqa: B008 - it cannot change
    ) -> None:
        self._model, self._cache, self._grid = model, cache, grid
        with torch.inference_mode():  # once: at 64x64 it takes as long as a pass
            self._states, self._logits = model.resample(states, logits, grid)
        self._places = [place]

    @property
    def odds(self) -> Float32[np.ndarray, "rows cols"]:
        """The fusion's own log-odds of each cell of the grid: a guess of what the text will say."""
        odds: Float32[np.ndarray, "rows cols"] = self._logits.float().reshape(self._grid).numpy()
        return odds

    def walk(self, tokens: Sequence[int]) -> list[CellPointer]:
        """Note where the writer gets to; what follows each token."""
        cell_tracker = self._model.cell_tracker
        assert cell_tracker is not None, "NanoModel sets it"  # noqa: S101
        pointers = []
        for token in tokens:
            self._places.append(cell_tracker.advance(self._places[-1], token))
            pointers.append(cell_tracker.point(self._places[-1], *self._grid))
        return pointers

    def walk_back(self, n: int) -> None:
        """Forget the last `n` tokens."""
        del self._places[len(self._places) - n :]

    def __call__(self, tokens: Sequence[int]) -> LogitRows:
        pointers = self.walk(tokens)
        with torch.inference_mode():
            out, _, _ = self._model.read(
                torch.tensor([list(tokens)]),
                cell_states=self._states,
                target_logits=self._logits,
                pointers=torch.tensor([pointers]),
                grid=self._grid,
                resampled=True,
                past_key_values=self._cache,
                use_cache=True,
            )
        return LogitRows(out.last_hidden_state[0], self._model.language.embed_tokens.weight)

    def cut(self, n: int) -> None:
        if n:
            self._cache.crop(-n)
            self.walk_back(n)


class NanoBatch:
    """Steps of several questions that are fed together; the questions' own caches are copied."""

    def __init__(self, model: NanoForConditionalGeneration, steps: Sequence[NanoStep]) -> None:
        grids = {step._grid for step in steps}
        if len(grids) != 1:
            raise InputError(f"questions that share passes need one grid, got {sorted(grids)}")
        self._model, self._steps, self._grid = model, list(steps), grids.pop()
        self._cache = RaggedCache([step._cache for step in steps])
        self._states = torch.cat([step._states for step in steps])
        self._logits = torch.cat([step._logits for step in steps])

    def __call__(self, fed: Mapping[int, Sequence[int]]) -> dict[int, LogitRows]:
        sequences, counts = list(fed), [len(tokens) for tokens in fed.values()]
        ids = torch.zeros(len(fed), max(counts), dtype=torch.long)
        pointers = torch.tensor(OUTSIDE_MASK).repeat(*ids.shape, 1)
        for place, (sequence, tokens) in enumerate(fed.items()):
            ids[place, : len(tokens)] = torch.tensor(list(tokens))
            pointers[place, : len(tokens)] = torch.tensor(self._steps[sequence].walk(tokens))
        mask, positions = self._cache.begin(sequences, counts)
        with torch.inference_mode():
            out, _, _ = self._model.read(
                ids,
                cell_states=self._states[sequences],
                target_logits=self._logits[sequences],
                pointers=pointers,
                grid=self._grid,
                resampled=True,
                past_key_values=self._cache,
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
            )
        self._cache.end()
        hidden, vocabulary = out.last_hidden_state, self._model.language.embed_tokens.weight
        return {
            sequence: LogitRows(hidden[place, :count], vocabulary)
            for place, (sequence, count) in enumerate(zip(sequences, counts, strict=True))
        }

    def cut(self, sequence: int, n: int) -> None:
        self._cache.cut(sequence, n)
        self._steps[sequence].walk_back(n)


def token_bytes(text: PromptTokenizer) -> list[bytes]:
    """Bytes of every token of a byte-level BPE: printable stand-ins back to what they stand for."""
    back = {stand_in: byte for byte, stand_in in _stand_ins().items()}
    tokenizer = text.tokenizer
    added = tokenizer.get_added_tokens_decoder()
    table = []
    for index in range(tokenizer.get_vocab_size()):
        token = tokenizer.id_to_token(index) or ""
        table.append(token.encode() if index in added else bytes(back[letter] for letter in token))
    return table


def _stand_ins() -> dict[int, str]:
    """GPT-2's printable letter for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters
