"""Steps of nano's language model: tokens go in behind a cached prompt, logits come out.

`NanoStep` feeds one question, `NanoBatch` several together. Both keep, beside the key-value cache,
the state of the cell tracker, so that every token is given the state of the cell that the next
token writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from text4seg.core.errors import InputError
from text4seg.models.nano.lazy_logits import LogitRows
from text4seg.models.nano.text.cell_tracker import OUTSIDE_MASK, CellPointer, WriterState
from text4seg.models.ragged import RaggedCache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from jaxtyping import Float32
    from torch import Tensor
    from transformers import DynamicCache

    from text4seg.models.nano.modeling import NanoForConditionalGeneration


class NanoStep:
    """The language model behind the prompt of one question about one image.

    Args:
        model: With a cell tracker.
        cache: Keys and values of the prompt so far; it is extended in place.
        states: The fusion's states of 256 cells, `1 256 d`.
        logits: The fusion's target logits, `1 256`.
        grid: Rows and columns of the mask to write.
        start: Where the cell tracker stands behind the cached prompt.
    """

    def __init__(
        self,
        model: NanoForConditionalGeneration,
        cache: DynamicCache,
        *,
        states: Tensor,
        logits: Tensor,
        grid: tuple[int, int],
        start: WriterState = WriterState(),  # noqa: B008 - it cannot change
    ) -> None:
        self._model, self._cache, self._grid = model, cache, grid
        with torch.inference_mode():  # once: at 64x64 it takes as long as a pass
            self._states, self._logits = model.resample(states, logits, grid)
        # A state for each token fed, so that any number of them can be taken back.
        self._trace = [start]

    @property
    def odds(self) -> Float32[np.ndarray, "rows cols"]:
        """The fusion's log-odds that a cell is of the target: a draft of the mask."""
        odds: Float32[np.ndarray, "rows cols"] = self._logits.float().reshape(self._grid).numpy()
        return odds

    def track(self, tokens: Sequence[int]) -> list[CellPointer]:
        """Advance the cell tracker; a pointer to what follows each token."""
        cell_tracker = self._model.cell_tracker
        assert cell_tracker is not None, "NanoModel sets it"  # noqa: S101
        pointers = []
        for token in tokens:
            self._trace.append(cell_tracker.advance(self._trace[-1], token))
            pointers.append(cell_tracker.point(self._trace[-1], *self._grid))
        return pointers

    def untrack(self, n: int) -> None:
        """Take the last `n` tokens back from the cell tracker, not from the cache."""
        del self._trace[len(self._trace) - n :]

    def __call__(self, tokens: Sequence[int]) -> LogitRows:
        """Feed tokens; row i of the result are the logits after token i."""
        # Pointers first: the pass needs to know which cell each token's successor writes.
        pointers = self.track(tokens)
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

    def rollback(self, n: int) -> None:
        """Drop the last `n` fed tokens."""
        if n:
            # Cache and tracker are always cut together, or pointers would run ahead of the text.
            self._cache.crop(-n)
            self.untrack(n)


class NanoBatch:
    """Several questions whose tokens share the passes of the language model.

    Args:
        model: With a cell tracker.
        steps: The questions' own steps; their caches are copied.

    Raises:
        InputError: The questions are of more than one grid.
    """

    def __init__(self, model: NanoForConditionalGeneration, steps: Sequence[NanoStep]) -> None:
        grids = {step._grid for step in steps}
        if len(grids) != 1:
            raise InputError(f"questions that share passes need one grid, got {sorted(grids)}")
        self._model, self._steps, self._grid = model, list(steps), grids.pop()
        self._cache = RaggedCache([step._cache for step in steps])
        self._states = torch.cat([step._states for step in steps])
        self._logits = torch.cat([step._logits for step in steps])

    def __call__(self, fed: Mapping[int, Sequence[int]]) -> dict[int, LogitRows]:
        """Feed tokens to some of the questions, by index; the logits after each token."""
        sequences, counts = list(fed), [len(tokens) for tokens in fed.values()]
        # Shorter sequences are filled up; the cache masks what is fed beyond their count.
        ids = torch.zeros(len(fed), max(counts), dtype=torch.long)
        pointers = torch.tensor(OUTSIDE_MASK).repeat(*ids.shape, 1)
        for place, (sequence, tokens) in enumerate(fed.items()):
            ids[place, : len(tokens)] = torch.tensor(list(tokens))
            pointers[place, : len(tokens)] = torch.tensor(self._steps[sequence].track(tokens))
        # Sequences have caches of several lengths, so each token's position is passed explicitly.
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

    def rollback(self, sequence: int, n: int) -> None:
        """Drop the last `n` fed tokens of one question."""
        self._cache.rollback(sequence, n)
        self._steps[sequence].untrack(n)
