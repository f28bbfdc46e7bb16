"""Logits of nano, computed only where they are read.

A grammar leaves a few of 49,152 tokens open at each position of a mask. So the last hidden state is
kept, and multiplied with the rows of the tied output layer that are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float32, Int
    from torch import Tensor


class LogitRow:
    """The logits after one token, as an array that is computed where it is indexed.

    Args:
        hidden: The last hidden state, `hidden`.
        vocabulary: The output layer, `tokens hidden`.
    """

    def __init__(self, hidden: Tensor, vocabulary: Tensor) -> None:
        self._hidden, self._vocabulary = hidden, vocabulary

    def __len__(self) -> int:
        """The size of the vocabulary."""
        return len(self._vocabulary)

    def __getitem__(self, tokens: Int[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        """The logits of some tokens, by id, float32."""
        index = torch.from_numpy(np.array(tokens))  # a copy: torch warns of read-only arrays
        with torch.inference_mode():
            # A gather of a few rows, instead of the product with all of them.
            rows = self._vocabulary[index]
            logits: Float32[np.ndarray, " n"] = (rows @ self._hidden).float().numpy()
        return logits

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        """All of them, as numpy's own conversion asks for; always a new array."""
        return np.asarray(self[np.arange(len(self))], dtype=dtype)


class LogitRows:
    """A `LogitRow` after each token fed.

    Args:
        hidden: Last hidden states, `t hidden`.
        vocabulary: The output layer, `tokens hidden`.
    """

    def __init__(self, hidden: Tensor, vocabulary: Tensor) -> None:
        self._hidden, self._vocabulary = hidden, vocabulary

    def __len__(self) -> int:
        """The number of tokens fed."""
        return len(self._hidden)

    def __getitem__(self, index: int) -> LogitRow:
        # Nothing is computed yet: decoding reads few of the rows of a draft.
        return LogitRow(self._hidden[index], self._vocabulary)

    def __iter__(self) -> Iterator[LogitRow]:
        return (self[index] for index in range(len(self)))
