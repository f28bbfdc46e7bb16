"""Vision-language models of transformers behind the interface of all models.

An image is encoded once. Where its tokens do not depend on the question, the prompt up to the last
image token is prefilled once, too, and each question forks that cache.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache

from text4seg.core.errors import WeightsError
from text4seg.models.hf.loading import LoadedModel, load_folder
from text4seg.models.hf.prompter import Prompter, chat
from text4seg.models.interface import (
    Capabilities,
    ImageSession,
    PreparedPrompt,
    VisionLanguageModel,
)
from text4seg.prompts import question as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float32, Int
    from PIL.Image import Image
    from torch import Tensor

    from text4seg.models.families import Family

_PROBE = wording("it")


class HFModel(VisionLanguageModel):
    """A model of transformers with what makes its inputs.

    Args:
        loaded: The model, its processor and its family.
    """

    capabilities = Capabilities()

    def __init__(self, loaded: LoadedModel) -> None:
        self.model, self.family = loaded.model, loaded.family
        self.defaults = replace(loaded.defaults, square=loaded.side)
        self.prompter = Prompter(
            loaded.family,
            loaded.processor,
            side=loaded.side,
            eos=end_token(loaded.model, loaded.processor.tokenizer),
        )

    @classmethod
    def load(cls, folder: Path, *, device: str | None = None) -> HFModel:
        """Load a model.

        Args:
            folder: Of weights, or of an adapter whose base model is on this machine.
            device: As torch names it; by default a GPU if there is one.

        Returns:
            The model, ready for inference.

        Raises:
            UnknownNameError: The model is of a family that the table does not know.
            WeightsError: A file is missing, damaged, or of another model.
        """
        if device is None and torch.cuda.is_available():
            device = "cuda"
        return cls(load_folder(folder, device=device))

    def encode_image(self, image: Image) -> HFSession:
        return HFSession(self, image)

    def new_cache(self) -> DynamicCache:
        """A cache that takes back tokens, also in layers that keep only a window or a state."""
        cache = DynamicCache(config=self.model.config.get_text_config(decoder=True))
        cache.activate_past_recording()
        return cache


def end_token(model: Any, tokenizer: Any) -> int:
    """The token that ends an answer: the tokenizer's, else the first of the configuration's."""
    end = tokenizer.eos_token_id
    if end is None:
        end = model.generation_config.eos_token_id
        end = end[0] if isinstance(end, list) else end
    if end is None:
        raise WeightsError("neither the tokenizer nor the configuration names an end token")
    return int(end)


class HFSession(ImageSession):
    """An image, encoded; its cache holds the prompt up to the last image token, or nothing."""

    def __init__(self, chat_: HFModel, image: Image) -> None:
        self._chat = chat_
        self._square = chat_.prompter.square(image)
        inputs = self._inputs(_PROBE)
        # Everything up to the last image token is the same for all questions about this image.
        ids: Tensor = inputs["input_ids"][0]
        places = (ids == chat_.model.config.image_token_id).nonzero()
        if not len(places):
            raise WeightsError("the chat template leaves out the image: it holds no image token")
        self._prefix: list[int] = ids[: int(places[-1]) + 1].tolist()
        self._stepper = Stepper(chat_.model, chat_.family, chat_.new_cache())
        with torch.inference_mode():
            # In a prefix language model, image tokens attend to the question: only the encoder's
            # output can be shared, not the cache.
            if chat_.family.question_seen_by_image:
                pixels = inputs["pixel_values"].to(chat_.model.device, chat_.model.dtype)
                self._seen = {"image": chat_.model.get_image_features(pixels)}
            else:
                self._stepper.prefill(first(inputs, len(self._prefix)))

    def _inputs(self, question: str) -> dict[str, Any]:
        prompter = self._chat.prompter
        return prompter.inputs(prompter.text(chat(question)), self._square)

    def prepare(
        self,
        question: str,
        answer_prefix: str,
        *,
        grid: tuple[int, int] = (16, 16),  # noqa: ARG002
    ) -> PreparedPrompt:
        prompter = self._chat.prompter
        prompter.check_question(question)
        inputs = self._inputs(question)
        prompt: list[int] = inputs["input_ids"][0].tolist()
        answer = prompter.encode(answer_prefix)
        step = self._stepper.fork()
        if self._chat.family.question_seen_by_image:
            seen = {**inputs, "mm_encoder_outputs": dict(self._seen)}
            first_logits = step.prefill(seen, skip="pixel_values")
            if answer:  # none where words are asked for
                first_logits = step(answer)[-1]
        else:
            # The rest of the prompt and the prefix of the answer go through in one pass.
            tail = prompt[len(self._prefix) :]
            if prompt[: len(self._prefix)] != self._prefix:
                raise WeightsError("the chat template writes the image after the question")
            first_logits = step([*tail, *answer])[-1]
        return PreparedPrompt(step, first_logits, prompter.vocabulary, len(prompt) + len(answer))


def first(inputs: dict[str, Any], length: int) -> dict[str, Any]:
    """Only the first tokens of the inputs; what is not a row per token stays."""
    whole = inputs["input_ids"].shape
    return {
        name: value[:, :length] if getattr(value, "shape", None) == whole else value
        for name, value in inputs.items()
    }


class LogitRow:
    """The logits after one token; they leave the device as far as they are read."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def __len__(self) -> int:
        return len(self._logits)

    # Only the logits of allowed tokens cross from the device: a few of 150,000.
    def __getitem__(self, tokens: Int[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        index = torch.from_numpy(np.array(tokens)).to(self._logits.device)
        read: Float32[np.ndarray, " n"] = self._logits[index].float().cpu().numpy()
        return read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        return np.asarray(self._logits.float().cpu().numpy(), dtype=dtype)


class LogitRows:
    """A `LogitRow` after each token fed."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def __len__(self) -> int:
        return len(self._logits)

    def __getitem__(self, index: int) -> LogitRow:
        return LogitRow(self._logits[index])


class Stepper:
    """Feeds tokens after a cache that can be rolled back, as far as the last pass fed it.

    Where a layer's state cannot be cropped (a recurrent one), the cache from before the last pass
    is kept, and a rollback restores it: the tokens that stay are fed again with the next pass. That
    costs a copy of the cache a pass, and no pass.
    """

    def __init__(self, model: Any, family: Family, cache: DynamicCache) -> None:
        self._model, self._family, self._cache = model, family, cache
        # Tokens in the cache, and by how much positions differ from their number.
        self._length = 0
        self._shift = family.first_position
        # What the last pass was fed, and how much of it is to be dropped before the next pass.
        self._fed: list[int] = []
        self._dropped = 0
        # The cache before the last pass, where a layer cannot be cropped.
        self._before: DynamicCache | None = None

    def fork(self) -> Stepper:
        """Another stepper from the same place."""
        # A copy of the cache, so that questions of one image do not disturb each other.
        other = Stepper(self._model, self._family, copy.deepcopy(self._cache))
        other._length, other._shift = self._length, self._shift
        return other

    def prefill(self, inputs: dict[str, Any], *, skip: str = "") -> LogitRow:
        """Feed the beginning of a prompt with its image; returns the logits after it."""
        device, dtype = self._model.device, self._model.dtype
        given = {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            if isinstance(value, torch.Tensor)
            else value
            for name, value in inputs.items()
            if name != skip
        }
        with torch.inference_mode():
            out = self._model(
                **given, past_key_values=self._cache, use_cache=True, logits_to_keep=1
            )
        self._length = inputs["input_ids"].shape[1]
        if self._family.rope_axes > 1:
            # An image counts as fewer positions than it has tokens.
            self._shift = int(self._model.model.rope_deltas.reshape(-1)[0])
        return LogitRow(out.logits[0, -1])

    def __call__(self, tokens: Sequence[int]) -> LogitRows:
        self._fed = [*self._take_back(), *tokens]
        # Caches of transformers mark layers that cannot be cropped; others have no such mark.
        if not all(getattr(layer, "is_croppable", True) for layer in self._cache.layers):
            self._before = copy.deepcopy(self._cache)
        device, axes, count = self._model.device, self._family.rope_axes, len(self._fed)
        # Explicit positions: transformers would count them from the cache, images included.
        positions = torch.arange(count, device=device) + self._length + self._shift
        with torch.inference_mode():
            out = self._model(
                input_ids=torch.tensor([self._fed], device=device),
                position_ids=positions.expand((1, count) if axes == 1 else (axes, 1, count)),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=len(tokens),
            )
        self._length += count
        return LogitRows(out.logits[0])

    def _take_back(self) -> list[int]:
        """Apply the rollbacks since the last pass; returns tokens that have to be fed again.

        Once a pass, because a sliding-window layer forgets with a crop what a second would need.
        """
        count, self._dropped = self._dropped, 0
        if self._before is None:
            self._cache.crop(-count)
            self._length -= count
            return []
        if not count:
            return []
        self._cache = self._before
        self._length -= len(self._fed)
        return self._fed[:-count]

    def rollback(self, n: int) -> None:
        # Older tokens may be lost in a sliding window.
        if self._dropped + n > len(self._fed):
            raise ValueError(f"cannot take back {n} tokens: the last pass fed {len(self._fed)}")
        self._dropped += n
