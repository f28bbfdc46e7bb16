"""Nano behind the interface of all models: an image is encoded once, then questions are asked."""

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
from text4seg.models.defaults import NANO_DEFAULTS, ModelDefaults
from text4seg.models.interface import (
    Capabilities,
    ImageSession,
    PreparedPrompt,
    TokenTable,
    VisionLanguageModel,
)
from text4seg.models.nano.checkpoint import load_model
from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.encoders.parts import PretrainedParts, get_parts
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.stepping import NanoBatch, NanoStep
from text4seg.models.nano.text.phrases import (
    PhraseReader,
    find_attributes,
    find_phrases,
    gather_phrases,
)
from text4seg.models.nano.text.tokens import PromptTokenizer, token_bytes
from text4seg.models.nano.threads import settle_threads
from text4seg.models.nano.vqa_session import VqaPrompter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor

    from text4seg.models.nano.config import ThresholdKind
    from text4seg.models.nano.encoders.sentences import Sentences
    from text4seg.models.nano.fusion import ImageState

# Words that tell one of several of a kind apart. The target logits of such questions are lower, so
# they have a threshold of their own.
_POSITIONED = re.compile(
    r"\b(left|right|top|bottom|upper|lower|leftmost|rightmost"
    r"|big|bigger|biggest|large|larger|largest|small|smaller|smallest)\b",
    re.IGNORECASE,
)
# Taken off the log-odds of every cell of an absent thing: more than any target logit.
_ABSENT_ODDS = 50.0
SHIPPED = Path(__file__).parent / "weights"


class NanoModel(VisionLanguageModel):
    """Nano with its tokenizer, its vision encoder and the reader of its questions.

    Args:
        model: The weights.
        parts: The pretrained parts that the weights do not contain.
        defaults: Format and grid that the model was taught.
    """

    # Questions do not name the grid: the language model is given its cells one by one.
    capabilities = Capabilities(batch=True, cell_head=True, names_grid=False, any_layout=True)

    def __init__(
        self,
        model: NanoForConditionalGeneration,
        parts: PretrainedParts,
        defaults: ModelDefaults = NANO_DEFAULTS,
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
        # A second tokenizer for users' words, to which control tokens are ordinary text.
        self._plain = parts.tokenizer()
        self._plain.encode_special_tokens = True
        # Weights without open matching read the question by its tokens alone.
        self.embed: Sentences | None = None
        self.reader: PhraseReader | None = None
        matching = model.fusion.matching
        if matching is not None:
            self.embed = parts.sentences()
            self.reader = PhraseReader(self.embed, matching, cast("NanoConfig", model.config))
            model.set_question_reader(partial(self.reader.read_tokens, self._plain))

    @classmethod
    def load(cls, folder: Path | None = None) -> NanoModel:
        """Load weights and pretrained parts.

        The number of threads of torch is set to that of the free cores (`threads`).

        Args:
            folder: With config.json and model.safetensors; by default the weights of the package.

        Returns:
            The model in evaluation mode, float32, on the CPU.

        Raises:
            WeightsError: They are missing or damaged, or a pretrained part cannot be fetched.
            InputError: TEXT4SEG_THREADS is no number of threads.
        """
        settle_threads()
        parts = get_parts()
        folder = folder or SHIPPED
        return cls(load_model(folder, parts), parts, ModelDefaults.load(folder, NANO_DEFAULTS))

    def encode(self, text: str) -> list[int]:
        """A user's words as tokens: the spelling of a control token (`<filename>`) stays text."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    @cached_property
    def vision_encoder(self) -> Any:
        """The frozen vision encoder, loaded when the first image is encoded."""
        return self._parts.vision_encoder()

    @cached_property
    def vocabulary(self) -> TokenTable:
        """The tokenizer as bytes, for the decoding engine."""
        tokens = token_bytes(self.text)
        tokenizer = self.text.tokenizer
        special = [
            token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special
        ]
        return TokenTable(tokens, self.text.end, lambda text: self.encode(text.decode()), special)

    @cached_property
    def taught_names(self) -> frozenset[str]:
        """The names of the shipped weights: labels of stage 2; fine-tuning appends others."""
        return frozenset(NanoConfig.from_pretrained(SHIPPED).names)

    @cached_property
    def bias(self) -> dict[int, float] | None:
        """Offset of the word `others`, chosen on validation images for the best IoU, if any."""
        # `others` is one token with and another without a space before it; both begin a run.
        offset = self.model.config.others_bias
        if not offset:
            return None
        return {self.text.encode(spaced)[0]: offset for spaced in (OTHERS, f" {OTHERS}")}

    def ground(self, image: ImageState, question: str) -> TargetCells:
        """Find what a question asks for, before any text is written.

        Args:
            image: One encoded image.
            question: A whole question, not only the expression.

        Returns:
            States and target logits of the image's cells, and whether the thing is absent.
        """
        read = self.reader.read(question) if self.reader else None
        words = torch.tensor([self.encode(read.text if read else question)])
        phrases = gather_phrases([read]) if read else None
        with torch.inference_mode():
            states, logits = self.model.ground(
                image, words, torch.ones_like(words, dtype=torch.bool), phrases
            )
        absent = self.is_absent(question, logits, read.text if read else question)
        return TargetCells(states, logits, absent)

    def is_absent(self, question: str, logits: Tensor, read: str | None = None) -> bool:
        """Whether no cell's target logit reaches the threshold, so that the mask must be empty.

        Without it, the text would often name one stray cell of a thing that is not there.

        Args:
            question: As the user asked it.
            logits: Target logits of the cells.
            read: The question as the fusion reads it, where that is known already.
        """
        threshold = self.model.config.threshold(self.threshold_kind(question, read))
        return threshold is not None and float(logits.max()) < threshold

    def threshold_kind(self, question: str, read: str | None = None) -> ThresholdKind:
        """Which threshold of the configuration decides whether the thing is there."""
        config = self.model.config
        # `the cup left of the lamp` tells nothing of several cups apart.
        related = config.attributes and find_attributes(question)[1].relation
        if config.position_threshold is not None and not related and _POSITIONED.search(question):
            return "position"
        if config.look_alike_threshold is not None:
            if read is None:
                read = self.reader.read(question).text if self.reader else question
            named = find_attributes(read)[0] if config.attributes else find_phrases(read)
            if not set(config.look_alikes).isdisjoint(named):
                return "look_alike"
        return "presence"

    def batch(self, prompts: Sequence[PreparedPrompt]) -> NanoBatch:
        """Let several questions, of any images but of one grid, share their passes.

        Raises:
            InputError: A prompt is of another model, or the grids differ.
        """
        # A prompt does not name its model, so its step is checked.
        steps = [one.step for one in prompts if isinstance(one.step, NanoStep)]
        if len(steps) < len(prompts):
            raise InputError("only questions that this model was asked can share its passes")
        return NanoBatch(self.model, steps)

    @cached_property
    def vqa(self) -> VqaPrompter:
        """What prepares questions whose answer is words."""
        return VqaPrompter(self.model, self.text, self.reader, self.encode, self.vocabulary)

    def encode_image(self, image: Image) -> NanoSession:
        """Encode an RGB image of any size."""
        return NanoSession(self, self.vision_encoder.encode(image))


@dataclass(frozen=True, slots=True)
class TargetCells:
    """What the fusion finds for one question.

    Attributes:
        states: Of the cells, `1 256 d`.
        logits: Target logits of the cells, `1 256`.
        absent: Whether the thing counts as absent.
    """

    states: Tensor
    logits: Tensor
    absent: bool


class NanoSession(ImageSession):
    """One image: its encoding by the fusion, and the language model's cache of the prompt so far.

    Args:
        nano: The model.
        features: Of the vision encoder, `288 2060`.
    """

    def __init__(self, nano: NanoModel, features: Tensor) -> None:
        self._nano = nano
        self._prefix = nano.text.image_prefix()
        self._cache = DynamicCache(config=nano.model.language.config)
        model = nano.model
        with torch.inference_mode():
            self._image: ImageState = model.fusion.encode_image(features[None].to(model.dtype))
            ids = torch.tensor([self._prefix])
            embedded = model.get_input_embeddings()(ids)
            places = ids == model.config.image_token
            embedded = embedded.masked_scatter(
                places[..., None], model.image_embeddings(self._image)
            )
            # Only the cache is of use: the next token is the question's.
            model.language(inputs_embeds=embedded, past_key_values=self._cache, use_cache=True)

    def label_for(self, expression: str) -> str:
        """The label to write: with `the`, unless it is a name that stage 2 taught without it.

        The language model copies only labels of those two kinds; behind another one it writes an
        empty mask, whatever the fusion finds.
        """
        bare = expression.strip()
        article, _, rest = bare.partition(" ")
        if article.lower() == "the" and rest:
            return f"the {rest}"
        return expression if bare in self._nano.taught_names else f"the {bare}"

    def prepare(
        self, question: str, answer_prefix: str, *, grid: tuple[int, int] = (16, 16)
    ) -> PreparedPrompt:
        """Prefill a question and the beginning of its answer; `grid`: rows, columns."""
        nano, text = self._nano, self._nano.text
        asked = nano.encode(question)
        # The cache is copied: a session answers many questions, each behind the image alone.
        target = nano.ground(self._image, question)
        step = NanoStep(
            nano.model,
            copy.deepcopy(self._cache),
            states=target.states,
            logits=target.logits,
            grid=grid,
            start=text.cell_tracker.after(self._prefix),
        )
        prompt = asked + text.after_image("", answer_prefix)
        first = step(prompt)[-1]
        length = len(self._prefix) + len(prompt)
        return PreparedPrompt(
            step,
            first,
            nano.vocabulary,
            length,
            bias=nano.bias,
            cell_log_odds=step.odds - (_ABSENT_ODDS if target.absent else 0.0),
            max_context=nano.model.config.language["max_position_embeddings"] - length,
            absent=target.absent,
        )

    def prepare_vqa(self, question: str) -> PreparedPrompt:
        """Prefill a question whose answer is words.

        Raises:
            WeightsError: The weights were not taught to answer in words.
            InputError: The question holds control tokens only.
        """
        return self._nano.vqa.prepare(question, self._image, self._cache, prefix=self._prefix)
