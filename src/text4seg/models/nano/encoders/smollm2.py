"""SmolLM2-135M-Instruct out of its GGUF file: layers as a Llama state dict, and the tokenizer.

SmolLM2: Ben Allal et al. 2025, arXiv:2502.02737. The file is dequantised here, because
`transformers` keeps GGUF weights packed and then refuses to save or to train them. llama.cpp stores
query and key rows in interleaved order; they are put back into the half-split order of
`transformers`' rotary embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float32
    from tokenizers import Tokenizer
    from torch import Tensor

HEADS, KEY_VALUE_HEADS, WIDTH, VOCABULARY = 9, 3, 576, 49152
# llama.cpp's names of a layer's tensors → transformers'.
_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# Tensors whose rows llama.cpp reorders, and their heads.
_PERMUTED = {"attn_q": HEADS, "attn_k": KEY_VALUE_HEADS}
_NORMAL_TOKEN = 1


def language_settings(layers: int) -> dict[str, Any]:
    """Arguments of a `LlamaConfig` for the first `layers` of SmolLM2's 30 layers."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 1536,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }


def read_language_model(file: Path, layers: int = 30) -> dict[str, Tensor]:
    """Read the first layers of the language model.

    Args:
        file: The GGUF file.
        layers: How many of the 30 layers.

    Returns:
        Float32 state dict of a `LlamaModel`: embedding, layers, last norm.
    """
    from gguf import GGUFReader

    tensors = {tensor.name: tensor for tensor in GGUFReader(str(file)).tensors}
    state = {
        "embed_tokens.weight": _dequantize(tensors["token_embd.weight"]),
        "norm.weight": _dequantize(tensors["output_norm.weight"]),
    }
    for layer in range(layers):
        for theirs, ours in _NAMES.items():
            weight = _dequantize(tensors[f"blk.{layer}.{theirs}.weight"])
            # llama.cpp interleaves the rows that rotary positions pair; transformers halves them.
            if theirs in _PERMUTED:
                weight = _half_split(weight, _PERMUTED[theirs])
            state[f"layers.{layer}.{ours}.weight"] = weight
    return {name: torch.from_numpy(np.ascontiguousarray(weight)) for name, weight in state.items()}


def _dequantize(tensor: Any) -> Float32[np.ndarray, "..."]:
    """A tensor of the file as numbers; GGUF lists its dimensions the other way round."""
    from gguf.quants import dequantize

    weight: np.ndarray = dequantize(tensor.data, tensor.tensor_type)
    return weight.reshape(tuple(reversed(tensor.shape.tolist()))).astype(np.float32)


def _half_split(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of every head: even ones first, then odd ones."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def read_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer: byte-level BPE with single digits, as SmolLM2 was trained with."""
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    fields = GGUFReader(str(file)).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    kinds: list[int] = fields["tokenizer.ggml.token_type"].contents()
    merges: list[str] = fields["tokenizer.ggml.merges"].contents()
    # Rebuilt from GGUF: the file has no tokenizer.json.
    pairs = [(first, second) for first, second in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # One token for each digit, which run lengths rely on.
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # What GGUF marks as other than a normal token are the control tokens.
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind != _NORMAL_TOKEN]
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special]
    )
    return tokenizer
