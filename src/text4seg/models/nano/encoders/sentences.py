"""all-MiniLM-L6-v2: phrases → sentence embeddings.

MiniLM: Wang et al. 2020, arXiv:2002.10957; trained as a sentence encoder as in Sentence-BERT
(Reimers and Gurevych 2019, arXiv:1908.10084).
"""

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
"""Embeddings that are cached, the last used ones: 25 MB, more than training has words."""


class Sentences:
    """Phrases → sentence embeddings, with a cache.

    Args:
        weights: State dict of the BERT model.
        tokenizer: Its tokenizer; padding and truncation are set here.
    """

    def __init__(self, weights: dict[str, Tensor], tokenizer: Tokenizer) -> None:
        from transformers import BertConfig, BertModel

        # Made without memory and filled by assignment: no random initialisation is computed.
        with torch.device("meta"):
            self._model: Any = BertModel(BertConfig(**_SETTINGS), add_pooling_layer=False)
        self._model.load_state_dict({k: v.float() for k, v in weights.items()}, assign=True)
        # Buffers that are not in the state dict, such as positions, are still on the meta device.
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
        """Embed phrases.

        Args:
            phrases: Any number, repeated ones too; each is read up to 64 tokens.

        Returns:
            Unit vectors, `n 384`: means of the last hidden states, as the model was trained.
        """
        asked = list(dict.fromkeys(phrases))
        new = [p for p in asked if p not in self._known]
        for phrase, vector in zip(new, self._embed(new) if new else (), strict=True):
            self._known[phrase] = vector.clone()  # a view would keep all of them alive
        vectors = torch.stack([self._known[p] for p in phrases])
        # Used phrases move to the end, so that the least used ones leave first.
        for phrase in asked:
            self._known.move_to_end(phrase)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return vectors

    def _embed(self, phrases: Sequence[str]) -> Tensor:
        """Embeddings of phrases that are not in the cache, in one padded batch."""
        ids = [torch.tensor(self._tokenizer.encode(phrase).ids) for phrase in phrases]
        pad = torch.nn.utils.rnn.pad_sequence
        mask = pad([torch.ones(len(i), dtype=torch.long) for i in ids], batch_first=True)
        out = self._model(pad(ids, batch_first=True), attention_mask=mask).last_hidden_state
        mean = (out * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=-1)


_TINY = _SETTINGS | {"vocab_size": 2, "num_hidden_layers": 1, "intermediate_size": 4}


def unpack(archive: Path) -> tuple[dict[str, Tensor], str]:
    """Unpack the pretrained part `minilm`.

    Args:
        archive: A zip of the model.

    Returns:
        Its weights in float16, and its tokenizer as JSON.
    """
    from safetensors.torch import load

    with zipfile.ZipFile(archive) as members:
        weights = load(members.read("model.safetensors"))
        tokenizer = members.read("tokenizer.json").decode("utf-8")
    return {k: v.half() for k, v in weights.items() if not k.startswith(_UNUSED)}, tokenizer
