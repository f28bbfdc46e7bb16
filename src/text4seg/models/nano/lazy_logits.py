"""The logits after a token of nano, computed as far as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float32, Int
    from torch import Tensor


class LogitRow:
    """Logits after one token, computed where they are read: a mask needs a few of 49,152 tokens."""

    def __init__(self, hidden: Tensor, vocabulary: Tensor) -> None:
        self._hidden, self._vocabulary = hidden, vocabulary

    def __len__(self) -> int:
        return len(self._vocabulary)

    def __getitem__(self, tokens: Int[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        index = torch.from_numpy(np.array(tokens))  # a copy: torch warns of read-only arrays
        with torch.inference_mode():
            rows = self._vocabulary[index]
            logits: Float32[np.ndarray, " n"] = (rows @ self._hidden).float().numpy()
        return logits

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        """All of them, as numpy's own conversion asks for; always a new array."""
        return np.asarray(self[np.arange(len(self))], dtype=dtype)


class LogitRows:
    """A `LogitRow` after each token fed."""

    def __init__(self, hidden: Tensor, vocabulary: Tensor) -> None:
        self._hidden, self._vocabulary = hidden, vocabulary

    def __len__(self) -> int:
        return len(self._hidden)

    def __getitem__(self, index: int) -> LogitRow:
        return LogitRow(self._hidden[index], self._vocabulary)

    def __iter__(self) -> Iterator[LogitRow]:
        return (self[index] for index in range(len(self)))
