"""all-MiniLM-L6-v2 (Wang et al. 2020; sentence-transformers): phrases → what they mean."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

WIDTH = 384
_SETTINGS: dict[str, Any] = {
    "vocab_size": 30_522,
    "hidden_size": WIDTH,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
_UNUSED = ("pooler.", "embeddings.position_ids")
_LONGEST = 64
_REMEMBERED = 16_384
"""Phrases whose vectors are kept, the last used ones: 25 MB, and more than training has words."""


class Sentences:
    """Phrases → unit vectors `n 384`; the mean of their last states, as the model was trained."""

    def __init__(self, weights: dict[str, Tensor], tokenizer: Tokenizer) -> None:
        from transformers import BertConfig, BertModel

        with torch.device("meta"):
            self._model: Any = BertModel(BertConfig(**_SETTINGS), add_pooling_layer=False)
        self._model.load_state_dict({k: v.float() for k, v in weights.items()}, assign=True)
        # What is no parameter, such as the places, was never filled.
        for name, value in BertModel(BertConfig(**_TINY), add_pooling_layer=False).named_buffers():
            owner, _, last = name.rpartition(".")
            setattr(self._model.get_submodule(owner), last, value)
        self._model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(_LONGEST)
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, phrases: Sequence[str]) -> Tensor:
        asked = list(dict.fromkeys(phrases))
        new = [p for p in asked if p not in self._known]
        for phrase, vector in zip(new, self._embed(new) if new else (), strict=True):
            self._known[phrase] = vector.clone()  # a view would keep all of them alive
        vectors = torch.stack([self._known[p] for p in phrases])
        for phrase in asked:
            self._known.move_to_end(phrase)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return vectors

    def _embed(self, phrases: Sequence[str]) -> Tensor:
        ids = [torch.tensor(self._tokenizer.encode(phrase).ids) for phrase in phrases]
        pad = torch.nn.utils.rnn.pad_sequence
        mask = pad([torch.ones(len(i), dtype=torch.long) for i in ids], batch_first=True)
        out = self._model(pad(ids, batch_first=True), attention_mask=mask).last_hidden_state
        mean = (out * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=-1)


_TINY = _SETTINGS | {"vocab_size": 2, "num_hidden_layers": 1, "intermediate_size": 4}


def unpack(archive: Path) -> tuple[dict[str, Tensor], str]:
    """The part `minilm` → its weights (float16) and its tokenizer as JSON."""
    from safetensors.torch import load

    with zipfile.ZipFile(archive) as members:
        weights = load(members.read("model.safetensors"))
        tokenizer = members.read("tokenizer.json").decode("utf-8")
    return {k: v.half() for k, v in weights.items() if not k.startswith(_UNUSED)}, tokenizer
