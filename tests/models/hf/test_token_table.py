"""Tokens as bytes, of both kinds of tokenizers."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.reference.small_nano import small_tokenizer
from text4seg.core.errors import WeightsError
from text4seg.models.hf.token_table import token_table

TEXTS = ["others *4| the dog\n", "é *12| chien noir", " leading", "x", "日本"]


def sentencepiece(*, metaspace: bool) -> Tokenizer:
    """As Llama's and Gemma's: pieces with ▁ for a space, bytes to fall back on."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["\u2581", "d", "o", "g", "t", "h", "e", "r", "s", "|", "*", "4", "1", "2"]
    merges = [("t", "h"), ("th", "e"), ("o", "th"), ("\u2581", "d")]
    pieces += ["".join(pair) for pair in merges]
    model = models.BPE(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True,
    )  # fmt: skip
    tokenizer = Tokenizer(model)
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        steps = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer


KINDS = [
    pytest.param(small_tokenizer, id="byte letters"),
    pytest.param(lambda: sentencepiece(metaspace=True), id="pieces, Metaspace"),
    pytest.param(lambda: sentencepiece(metaspace=False), id="pieces, Prepend"),
]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_written_reads_the_same(make: object, text: str) -> None:
    fast = PreTrainedTokenizerFast(tokenizer_object=make())  # type: ignore[operator]
    table = token_table(fast, eos=1)
    ids = table.encode(text.encode())
    assert b"".join(table.tokens[token] for token in ids) == text.encode()


def test_a_control_token_spelled_by_a_user_stays_text() -> None:
    fast = PreTrainedTokenizerFast(tokenizer_object=sentencepiece(metaspace=True))
    table = token_table(fast, eos=1)
    assert 1 in table.special
    assert 1 not in table.encode(b"</s>")


def test_a_tokenizer_that_cannot_write_every_byte_is_refused() -> None:
    words = Tokenizer(models.WordLevel({"dog": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(WeightsError, match="neither"):
        token_table(PreTrainedTokenizerFast(tokenizer_object=words), eos=1)
