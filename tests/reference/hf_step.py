"""A step over any causal language model of `transformers`: its cache is cut, never rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache


class HfStep:
    """The cache holds what `first` was given and every token fed and not cut since."""

    def __init__(self, model: Any, prompt: Sequence[int]) -> None:
        self.model = model
        self.cache = DynamicCache()
        self.passes = 0
        self.first_logits = self(prompt)[-1]
        self.passes = 0

    def __call__(self, tokens: Sequence[int]) -> np.ndarray:
        self.passes += 1
        with torch.inference_mode():
            out = self.model(
                torch.tensor([list(tokens)]), past_key_values=self.cache, use_cache=True
            )
        return out.logits[0].float().numpy()

    def rollback(self, n: int) -> None:
        self.cache.crop(-n)
