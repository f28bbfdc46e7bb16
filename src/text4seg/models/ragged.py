"""A key-value cache for sequences of different lengths, each of which can be cut on its own.

Works under any causal language model of `transformers` that takes a cache, a mask of four
dimensions and position ids. Nothing is moved when a sequence is cut: its length falls, and what
lies beyond is never read and then overwritten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

# Tokens by which the storage of all sequences grows at least; copying is rare then.
_GROWTH = 256


class RaggedCache(Cache):
    """Made of single sequences' caches (`DynamicCache` with a batch of one), which it copies.

    A pass: `begin` names the sequences that take part and how many tokens each is fed, the model
    runs on tokens padded at the right, and `end` counts what was fed.
    """

    def __init__(self, caches: Sequence[Any]) -> None:
        # The tokens that count in each sequence; what lies beyond is stale.
        self.lengths = [int(cache.get_seq_length()) for cache in caches]
        longest = max(self.lengths)
        layers: list[Any] = [
            RaggedLayer(self, [(part.keys, part.values) for part in parts], longest)
            for parts in zip(*(cache.layers for cache in caches), strict=True)
        ]
        super().__init__(layers=layers)
        self._device = layers[0].keys.device
        self.active: list[int] = []
        self.widest = 0
        self._counts: list[int] = []

    def begin(self, sequences: Sequence[int], counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mask `b 1 n m` (true where a token may look) and position ids `b n` of the pass."""
        self.active, self._counts, self.widest = list(sequences), list(counts), max(counts)
        device = self._device
        # Each sequence goes on at its own length; padding at the right is never seen by a token
        # before it, because attention is causal.
        starts = torch.tensor([self.lengths[one] for one in self.active], device=device)
        positions = starts[:, None] + torch.arange(self.widest, device=device)
        total = int(starts.max()) + self.widest
        seen = torch.arange(total, device=device) <= positions[:, None, :, None]
        return seen, positions

    def end(self) -> None:
        """The fed tokens are in the cache."""
        for one, count in zip(self.active, self._counts, strict=True):
            self.lengths[one] += count

    def rollback(self, sequence: int, n: int) -> None:
        """Drop the last `n` tokens of one sequence."""
        # Nothing is moved: the next pass overwrites what lies beyond the length.
        self.lengths[sequence] -= n


class RaggedLayer(CacheLayerMixin):
    """Keys and values of one layer, `b heads m d`, filled to a length of its own for each."""

    keys: Tensor
    values: Tensor

    def __init__(
        self, owner: RaggedCache, parts: Sequence[tuple[Tensor, Tensor]], longest: int
    ) -> None:
        super().__init__()
        self.owner = owner
        self.keys, self.values = (
            torch.cat([_widened(part[side], longest + _GROWTH) for part in parts])
            for side in (0, 1)
        )
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None: ...

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Keep what is new after each sequence; keys and values of those that take part."""
        owner = self.owner
        starts = [owner.lengths[one] for one in owner.active]
        total = max(starts) + owner.widest
        # Grow all sequences together, as they are one tensor.
        if total > self.keys.shape[2]:
            self.keys = _widened(self.keys, total + _GROWTH)
            self.values = _widened(self.values, total + _GROWTH)
        for place, (one, start) in enumerate(zip(owner.active, starts, strict=True)):
            self.keys[one, :, start : start + owner.widest] = key_states[place]
            self.values[one, :, start : start + owner.widest] = value_states[place]
        # The whole batch needs no copy; a part of it is selected.
        everyone = owner.active == list(range(len(self.keys)))
        taking = slice(None) if everyone else torch.tensor(owner.active, device=self.keys.device)
        return self.keys[taking, :, :total], self.values[taking, :, :total]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return max(self.owner.lengths)

    def get_max_length(self) -> int:
        return -1


def _widened(states: Tensor, length: int) -> Tensor:
    """`b heads n d` with room for `length` tokens; what is new is zero."""
    # Zeros, not empty memory: a NaN there would spread through masked attention.
    wide = states.new_zeros(*states.shape[:2], length, states.shape[3])
    wide[:, :, : states.shape[2]] = states
    return wide
