"""The plain twin of the engine: constrained greedy decoding, one token at a time.

A `LogitsProcessor` for `transformers.generate`, written straight on llguidance and sharing no code
with `text4seg.decoding`, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import llguidance
import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList


class PlainGrammar(LogitsProcessor):
    """Where the grammar forces tokens, only the next of them; elsewhere, the allowed ones."""

    def __init__(
        self,
        tokenizer: Any,
        lark: str,
        prompt: int,
        bias: Mapping[int, float] | None = None,
    ) -> None:
        self.matcher = llguidance.LLMatcher(tokenizer, lark)
        assert not self.matcher.is_error(), self.matcher.get_error()
        self.eos = tokenizer.eos_token
        self.seen = prompt
        self.forced: list[int] = []
        self.bias = dict(bias or {})
        self.choices = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for token in input_ids[0, self.seen :].tolist():
            assert self.matcher.consume_token(token)
        self.seen = input_ids.shape[1]
        if not self.forced and not self.matcher.is_stopped():
            self.forced = self.matcher.compute_ff_tokens()
        if self.matcher.is_stopped():
            allowed = [self.eos]
        elif self.forced:
            allowed = [self.forced.pop(0)]
        else:
            mask = np.frombuffer(self.matcher.compute_logit_bias(), dtype=np.uint8)
            allowed = np.flatnonzero(mask).tolist()
        masked = torch.full_like(scores, -torch.inf)
        masked[0, allowed] = scores[0, allowed]
        if len(allowed) > 1:
            self.choices += 1
            for token in allowed:
                masked[0, token] += self.bias.get(token, 0.0)
        return masked


def generate(
    model: Any, prompt: Sequence[int], processor: PlainGrammar, max_tokens: int = 2000
) -> list[int]:
    """The tokens that `transformers.generate` writes, without the end token."""
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            num_beams=1,
            logits_processor=LogitsProcessorList([processor]),
            max_new_tokens=max_tokens,
            eos_token_id=processor.eos,
            pad_token_id=processor.eos,
        )
    return [token for token in out[0, len(prompt) :].tolist() if token != processor.eos]


def write(
    logits: Callable[[list[int]], np.ndarray], processor: PlainGrammar, max_tokens: int = 2000
) -> list[int]:
    """The same, for a function from the tokens so far to the logits of the next one."""
    tokens: list[int] = []
    while len(tokens) < max_tokens:
        scores = torch.from_numpy(np.array(logits(tokens), dtype=np.float32))[None]
        token = int(processor(torch.tensor([tokens], dtype=torch.long), scores)[0].argmax())
        if token == processor.eos:
            break
        tokens.append(token)
    return tokens
