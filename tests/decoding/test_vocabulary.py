"""The vocabulary as bytes."""

from __future__ import annotations

import sys

import pytest

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.decoding import Vocabulary, compile_grammar


def test_bytes_go_there_and_back(merging: Vocabulary) -> None:
    text = b"others| dog| dog\n others| others| cat\n"
    tokens = merging.encode(text)
    assert merging.decode(tokens) == text
    assert len(tokens) < len(text)
    assert merging.eos not in tokens
    assert len(merging) == len(merging.tokens)


@pytest.mark.parametrize("eos", [-1, 2, 100])
def test_the_end_token_is_one_of_them(eos: int) -> None:
    with pytest.raises(InputError, match="2 tokens"):
        Vocabulary([b"a", b""], eos, list)


def test_control_tokens_are_never_allowed() -> None:
    """A control token whose bytes would fit is not written."""
    tokens = [bytes([byte]) for byte in range(256)] + [b"ab", b""]
    for special in ((), (256,)):
        vocabulary = Vocabulary(tokens, 257, list, special=special)
        allowed = compile_grammar('start: "abc" | "xyz"', vocabulary).start().allowed()
        assert (256 in allowed) == (not special)
        assert {ord("a"), ord("x")} <= set(allowed.tolist())


def test_without_llguidance_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    vocabulary = Vocabulary([b"a", b""], 1, list)
    with pytest.raises(MissingExtraError, match=r"text4seg\[hf\]"):
        compile_grammar('start: "a"', vocabulary)
