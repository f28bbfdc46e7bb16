"""A real architecture made to write given masks: its passes are real, its choices are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.passes import Script, open_tokenizer, vocabulary_of
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.types import DescriptorGrid, GridShape
from text4seg.decoding import (
    CompiledGrammar,
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    MeasuredPassCost,
    Vocabulary,
    decode_batch,
)

PROMPT = 300  # tokens of an image and a question


def shapes_of(shape: GridShape, count: int) -> list[DescriptorGrid]:
    """Ellipses of many sizes and places."""
    random = np.random.default_rng(0)
    rows, cols = np.mgrid[: shape.rows, : shape.cols] / [[[shape.rows]], [[shape.cols]]]
    grids = []
    for _ in range(count):
        y, x = random.uniform(0.2, 0.8, 2)
        height, width = random.uniform(0.1, 0.4, 2)
        inside = ((rows - y) / height) ** 2 + ((cols - x) / width) ** 2 < 1
        grids.append(DescriptorGrid.build(("others", "dog"), inside.astype(np.int32)))
    return grids


def script_of(grids: Sequence[DescriptorGrid], form: str) -> tuple[Vocabulary, list[bytes]]:
    """SmolLM2's vocabulary and the texts of grids."""
    _, tokenizer = open_tokenizer(None)
    return vocabulary_of(tokenizer), [get_format(form).encode(grid).encode() for grid in grids]


class ForcedStep:
    """A model's own step, made to write a text: passes and logits are computed, and not heeded."""

    def __init__(self, step: Any, vocabulary: Vocabulary, text: bytes) -> None:
        self._step = step
        self._script = Script(vocabulary, text)
        self.first_logits = self._script.row_at(0)

    def __call__(self, tokens: Sequence[int]) -> _ForcedRows:
        return _ForcedRows(self._step(tokens), self._script(tokens))

    def rollback(self, n: int) -> None:
        self._step.rollback(n)
        self._script.rollback(n)


class _ForcedRows:
    def __init__(self, real: Any, told: Any) -> None:
        self._real, self._told = real, told

    def __len__(self) -> int:
        return len(self._real)

    def __getitem__(self, index: int) -> _ForcedRow:
        return _ForcedRow(self._real[index], self._told[index])


class _ForcedRow:
    def __init__(self, real: Any, told: Any) -> None:
        self._real, self._told = real, told

    def __len__(self) -> int:
        return len(self._told)

    def __getitem__(self, tokens: Any) -> Any:
        self._real[tokens]
        return self._told[tokens]


class ForcedBatch:
    """Sequences of one model, each made to write its text."""

    def __init__(self, model: Any, vocabulary: Vocabulary, texts: Sequence[bytes]) -> None:
        import torch
        from transformers import DynamicCache

        from text4seg.models.ragged import RaggedCache

        if model.config.vocab_size < len(vocabulary):
            raise InputError(
                f"the model has {model.config.vocab_size} tokens, fewer than the tokenizer's "
                f"{len(vocabulary)}"
            )
        self._model, self._vocabulary, self._texts = model, vocabulary, list(texts)
        self._scripts = [Script(vocabulary, text) for text in texts]
        caches = []
        prompt = torch.randint(0, len(vocabulary), (1, PROMPT), device=model.device)
        for _ in texts:
            cache = DynamicCache(config=model.config)
            with torch.inference_mode():
                model(prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
            caches.append(cache)
        self._cache = RaggedCache(caches)

    def __call__(self, fed: Mapping[int, Sequence[int]]) -> dict[int, Any]:
        import torch

        counts = [len(tokens) for tokens in fed.values()]
        rows = [[*tokens, *[0] * (max(counts) - len(tokens))] for tokens in fed.values()]
        ids = torch.tensor(rows, device=self._model.device)
        mask, positions = self._cache.begin(list(fed), counts)
        with torch.inference_mode():
            out = self._model(
                ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
            )
            out.logits[:, -1].argmax(-1).cpu()  # the device has to be done, as for real choices
        self._cache.end()
        return {number: self._scripts[number](tokens) for number, tokens in fed.items()}

    def rollback(self, sequence: int, n: int) -> None:
        self._cache.rollback(sequence, n)
        self._scripts[sequence].rollback(n)

    def write(self, grammar: CompiledGrammar, pass_cost: MeasuredPassCost) -> int:
        """Write all texts; the passes they took together."""
        options = DecodingOptions("row")
        tasks = [
            DecodingTask(script.row_at(0), grammar, options, pass_cost=pass_cost)
            for script in self._scripts
        ]
        longest = 0
        for decoded, text in zip(decode_batch(self, tasks), self._texts, strict=True):
            if not isinstance(decoded, DecodingResult):
                raise decoded
            if self._vocabulary.decode(decoded.tokens) != text:
                raise InputError("the model was not made to write the true text")
            longest = max(longest, decoded.stats.passes)
        return longest
