"""Sequences of different lengths in one cache: each is what it is alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers import DynamicCache

from tests.reference.hf_step import HfStep
from tests.reference.toy import byte_vocabulary, random_llama
from text4seg.models.ragged import RaggedCache

PROMPTS = [[5, 77, 30, 41], [9], [8, 8, 250, 3, 17, 60, 2]]


def test_steps_of_a_batch_equal_those_of_each_sequence() -> None:
    model = random_llama(byte_vocabulary(), 1)
    alone = [HfStep(model, prompt) for prompt in PROMPTS]
    caches = []
    for prompt in PROMPTS:
        caches.append(DynamicCache())
        with torch.inference_mode():
            model(torch.tensor([prompt]), past_key_values=caches[-1], use_cache=True)
    ragged = RaggedCache(caches)
    assert ragged.lengths == [len(prompt) for prompt in PROMPTS]

    def together(fed: Mapping[int, Sequence[int]]) -> dict[int, np.ndarray]:
        counts = [len(tokens) for tokens in fed.values()]
        mask, positions = ragged.begin(list(fed), counts)
        rows = [[*tokens, *[0] * (max(counts) - len(tokens))] for tokens in fed.values()]
        with torch.inference_mode():
            out = model(
                torch.tensor(rows), attention_mask=mask, position_ids=positions,
                past_key_values=ragged, use_cache=True,
            )  # fmt: skip
        ragged.end()
        logits = out.logits.float().numpy()
        return {one: logits[at, : counts[at]] for at, one in enumerate(fed)}

    # Some take part, in passes of different lengths, and some tokens are taken back.
    for fed, cuts in (
        ({0: [1, 2, 3], 1: [4], 2: [5, 6]}, {0: 2}),
        ({0: [7], 2: [8, 9, 10, 11]}, {2: 3}),
        ({1: list(range(20, 60))}, {1: 40}),
        ({0: [12], 1: [13], 2: [14]}, {}),
    ):
        found = together(fed)
        for one, tokens in fed.items():
            np.testing.assert_allclose(found[one], alone[one](tokens), rtol=1e-3, atol=1e-4)
        for one, count in cuts.items():
            ragged.rollback(one, count)
            alone[one].rollback(count)
    assert ragged.lengths == [step.cache.get_seq_length() for step in alone]


def test_the_cache_grows_when_it_is_full() -> None:
    model = random_llama(byte_vocabulary(), 2)
    cache = DynamicCache()
    with torch.inference_mode():
        model(torch.tensor([[1, 2]]), past_key_values=cache, use_cache=True)
    ragged = RaggedCache([cache])
    for _ in range(3):
        mask, positions = ragged.begin([0], [120])
        with torch.inference_mode():
            model(
                torch.tensor([[7] * 120]), attention_mask=mask, position_ids=positions,
                past_key_values=ragged, use_cache=True,
            )  # fmt: skip
        ragged.end()
    assert ragged.lengths == [362]
