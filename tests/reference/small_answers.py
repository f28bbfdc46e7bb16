"""Nano in miniature that answers in words: it matches by meaning and reads terms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tests.reference.small_nano import (
    DETECTOR,
    NAMES,
    VISUAL,
    SmallParts,
    small_config,
    small_text,
)
from text4seg.models.nano.encoders.colors import COLORS
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.nano_model import NanoModel

WIDTH = 8


def embed(words: Sequence[str]) -> Tensor:
    """A unit vector of noise for each word, always the same."""
    seeds = [int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) for word in words]
    rows = [np.random.default_rng(seed).normal(size=WIDTH) for seed in seeds]
    return torch.nn.functional.normalize(torch.tensor(np.array(rows)).float(), dim=-1)


class MeaningParts(SmallParts):
    """Parts that also tell what words mean."""

    def sentences(self) -> object:
        return embed

    def classifier(self) -> tuple[Tensor, Tensor]:
        assert self._model is not None
        matching = self._model.fusion.matching
        assert matching is not None
        return matching.classifier_weight.bfloat16(), matching.classifier_bias.bfloat16()


def answering_model(*, answers: bool = True) -> NanoForConditionalGeneration:
    """The same weights with and without what answers in words."""
    config = small_config()
    config.sentence_width, config.attributes, config.presence_threshold = WIDTH, True, 0.0
    config.word_lists = [[len(NAMES), 1], [DETECTOR, 1], [1000, 1]]
    config.words = list(NAMES)
    torch.manual_seed(3)
    model = NanoForConditionalGeneration(config)
    matching = model.fusion.matching
    assert matching is not None
    with torch.no_grad():
        for words in matching.word_lists:
            words.vectors.copy_(torch.nn.functional.normalize(torch.randn_like(words.vectors)))
            words.members.copy_(torch.arange(len(words.members))[:, None])
    if answers:
        model.add_vqa_head()
    model.set_cell_tracker(small_text().cell_tracker)
    return model.eval()


def answering_chat(*, answers: bool = True) -> NanoModel:
    model = answering_model(answers=answers)
    return NanoModel(model, MeaningParts(model))  # type: ignore[arg-type]


def boxed_features(seed: int = 0) -> Tensor:
    """Possible features, `288 c`: cells with colors, and three boxes of cats."""
    noise = torch.Generator().manual_seed(seed)
    seen = torch.zeros(256 + 32, VISUAL + DETECTOR + len(COLORS))
    seen[:256, :VISUAL] = torch.randn(256, VISUAL, generator=noise)
    seen[:256, -len(COLORS)] = 1.0
    for row, left in enumerate((0.0, 0.3, 0.6)):
        seen[256 + row, :6] = torch.tensor([16.0, 0.9, left, 0.2, left + 0.2, 0.6])
    return seen
