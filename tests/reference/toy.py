"""Small things that behave like large ones: a tokenizer trained on masks, models made of noise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from text4seg.decoding import Vocabulary

END = "<end>"


def train_tokenizer(texts: Iterable[str], size: int = 330, *, words: bool = False) -> Tokenizer:
    """A byte-level BPE. Unless it splits at words, it merges across `| ` and line ends."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=10,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def byte_vocabulary() -> Vocabulary:
    """One token for every byte, and an end."""
    return Vocabulary([bytes([byte]) for byte in range(256)] + [b""], 256, list)


def random_llama(vocabulary: Vocabulary, seed: int) -> LlamaForCausalLM:
    """A language model with chaotic opinions, float32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).eval()


class Noise:
    """Logits from a hash of the last tokens and their number; optionally in favour of a text."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        seed: int,
        *,
        text: bytes = b"",
        favour: float = 0.0,
        sharpness: float = 1.0,
    ) -> None:
        self.size = len(vocabulary)
        self.seed = seed
        self.script = vocabulary.encode(text) if text else []
        self.favour = favour
        self.sharpness = sharpness

    def __call__(self, tokens: Sequence[int]) -> np.ndarray:
        seen = (self.seed, len(tokens), list(tokens[-8:]))
        key = hashlib.blake2b(repr(seen).encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(key))
        logits = rng.normal(scale=self.sharpness, size=self.size).astype(np.float32)
        if len(tokens) < len(self.script):
            logits[self.script[len(tokens)]] += self.favour
        return logits


class CacheOf:
    """A step over `Noise` that keeps its cache as a list, for tests to look into."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.cache: list[int] = []
        self.passes = 0
        self.cuts: list[int] = []
        self.first_logits = noise([])

    def __call__(self, tokens: Sequence[int]) -> np.ndarray:
        assert len(tokens) > 0
        self.passes += 1
        rows = []
        for token in tokens:
            self.cache.append(token)
            rows.append(self.noise(self.cache))
        return np.stack(rows)

    def rollback(self, n: int) -> None:
        assert 0 < n <= len(self.cache)
        self.cuts.append(n)
        del self.cache[len(self.cache) - n :]
