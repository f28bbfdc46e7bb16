"""The plain twin of a local chat: `transformers.generate` on the whole prompt, cache and all."""

from __future__ import annotations

from typing import Any

import torch
from PIL.Image import Image
from transformers import LogitsProcessorList

from tests.reference.plain import PlainGrammar
from text4seg import prompts
from text4seg.core.types import GridShape
from text4seg.decoding import Vocabulary
from text4seg.models.hf.model import HFModel
from text4seg.models.hf.prompter import chat


def whole_prompt(
    local: HFModel, image: Image, expression: str, grid: GridShape = prompts.PLAIN_GRID
) -> dict[str, Any]:
    """The processor's own inputs, and the answer's prefix behind them."""
    prompter = local.prompter
    messages = chat(prompts.question(expression, grid=grid))
    inputs = prompter.inputs(prompter.text(messages), prompter.square(image))
    prompt = inputs["input_ids"]
    answer = torch.tensor([prompter.encode(prompts.ANSWER_PREFIX)])
    types = torch.full_like(answer, local.family.answer_type)
    longer = {
        name: torch.cat([value, answer if name == "input_ids" else types], dim=1)
        for name, value in inputs.items()
        if getattr(value, "shape", None) == prompt.shape
    }
    inputs |= longer
    return {**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])}


def plain_tokens(
    local: HFModel,
    image: Image,
    expression: str,
    grammar: str,
    grid: GridShape = prompts.PLAIN_GRID,
) -> list[int]:
    """What generate writes under the grammar, one token at a time, without the end."""
    inputs = whole_prompt(local, image, expression, grid)
    table = local.prompter.vocabulary
    known = Vocabulary(table.tokens, table.eos, table.encode, special=table.special)
    length = inputs["input_ids"].shape[1]
    processor = PlainGrammar(known.matcher_tokenizer, grammar, length)
    processor.eos = table.eos
    with torch.inference_mode():
        out = local.model.generate(
            **inputs,
            do_sample=False,
            num_beams=1,
            logits_processor=LogitsProcessorList([processor]),
            max_new_tokens=500,
            eos_token_id=table.eos,
            pad_token_id=table.eos,
        )
    return [token for token in out[0, length:].tolist() if token != table.eos]
