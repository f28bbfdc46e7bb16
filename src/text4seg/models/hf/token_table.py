"""A tokenizer of transformers as bytes: what every token writes, and how bytes become tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from text4seg.core.errors import WeightsError
from text4seg.models.interface import TokenTable

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"  # how SentencePiece writes a space


def token_table(tokenizer: Any, *, eos: int) -> TokenTable:
    """Read a tokenizer as bytes.

    Two kinds of vocabularies can spell every byte: byte-level BPE (GPT-2) and SentencePiece with
    byte fallback.

    Args:
        tokenizer: A tokenizer of transformers with a fast version.
        eos: The token that ends an answer.

    Returns:
        The table; its `encode` continues a text, so it puts no space before the first word.

    Raises:
        WeightsError: The tokenizer is of another kind, or has no fast version.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise WeightsError(
            f"{type(tokenizer).__name__} has no fast version (tokenizer.json), whose bytes are "
            "needed to write under a grammar"
        )
    # A copy that continues texts and reads control tokens as text; the original stays as it is.
    described = json.loads(backend.to_str())
    plain = Tokenizer.from_str(json.dumps(_without_first_space(described)))
    plain.encode_special_tokens = True
    added = {int(token["id"]): token for token in described["added_tokens"]}
    # Added tokens may lie beyond the vocabulary, with gaps between.
    size = max([backend.get_vocab_size() - 1, *added]) + 1
    words = [backend.id_to_token(index) for index in range(size)]
    read = _reader(described)
    tokens = [
        (word or "").encode() if index in added else read(word or "")
        for index, word in enumerate(words)
    ]
    special = [index for index, token in added.items() if token["special"]]

    def encode(text: bytes) -> Sequence[int]:
        ids: list[int] = plain.encode(text.decode(), add_special_tokens=False).ids
        return ids

    return TokenTable(tokens, eos, encode, special)


def _reader(described: dict[str, Any]) -> Any:
    """The function from a token as the vocabulary spells it to its bytes."""
    kinds = _types(described.get("decoder")) | _types(described.get("pre_tokenizer"))
    if "ByteLevel" in kinds:
        # GPT-2 writes each byte as a printable letter.
        letters = _byte_letters()
        return lambda word: bytes(letters[letter] for letter in word if letter in letters)
    if described["model"].get("byte_fallback"):
        return _read_piece
    raise WeightsError(
        "the tokenizer is neither a byte-level BPE nor one with bytes to fall back on, so not "
        "every label can be written with it"
    )


def _read_piece(word: str) -> bytes:
    # SentencePiece spells bytes that no piece covers as <0x0A>.
    byte = _BYTE.fullmatch(word)
    return bytes([int(byte[1], 16)]) if byte else word.replace(_SPACE, " ").encode()


def _byte_letters() -> dict[str, int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}


def _types(part: dict[str, Any] | None) -> set[str]:
    """Names of a tokenizer's step and of the steps inside it."""
    if part is None:
        return set()
    # Steps of a sequence are named differently for decoders and for pre-tokenizers.
    inner = [*part.get("decoders", []), *part.get("pretokenizers", [])]
    return {part["type"]}.union(*(_types(step) for step in inner))


def _without_first_space(described: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer, but a text may begin in the middle of a sentence."""
    # A deep copy: the description is read again for the decoder.
    described = json.loads(json.dumps(described))
    for key, steps in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers")):
        part = described.get(key)
        if part is None:
            continue
        for step in [part, *part.get(steps, [])]:
            # Both kinds would put a space before the first word of a text.
            if step["type"] == "Metaspace":
                step["prepend_scheme"] = "never"
            if step["type"] == "ByteLevel":
                step["add_prefix_space"] = False
        if part["type"] == "Sequence":
            part[steps] = [step for step in part[steps] if step["type"] != "Prepend"]
        elif part["type"] == "Prepend":
            described[key] = None
    return described
