"""What a grammar allows, asked of llguidance with one token for every byte."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import llguidance

_EOS = 256


class _Bytes:
    eos_token_id = _EOS
    bos_token_id = None
    special_token_ids = (_EOS,)
    tokens = (*(bytes([value]) for value in range(256)), b"<eos>")

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


_TOKENIZER = llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Bytes()))


class Matcher:
    """A compiled Lark grammar."""

    def __init__(self, lark: str) -> None:
        self._fresh = llguidance.LLMatcher(_TOKENIZER, lark)
        assert not self._fresh.is_error(), self._fresh.get_error()

    def accepts(self, text: str) -> bool:
        state = self._fresh.deep_copy()
        data = list(text.encode())
        return state.try_consume_tokens(data) == len(data) and state.is_accepting()

    def forced(self, text: str) -> str:
        """What the grammar leaves no choice about after `text`."""
        state = self._fresh.deep_copy()
        assert state.consume_tokens(list(text.encode()))
        return state.compute_ff_bytes().decode()

    def mask_seconds(self, text: bytes) -> float:
        """The time that the masks before every byte of `text` take together."""
        state = self._fresh.deep_copy()
        seconds = 0.0
        for value in text:
            start = time.process_time()
            state.compute_bitmask()
            seconds += time.process_time() - start
            assert state.consume_token(value)
        return seconds

    def check_language(self, texts: Iterable[str]) -> int:
        """Assert that the grammar allows exactly these texts, byte for byte; count the states."""
        tree: dict[int, dict] = {}
        for text in texts:
            node = tree
            for value in [*text.encode(), _EOS]:
                node = node.setdefault(value, {})
        states = 0
        todo = [(self._fresh.deep_copy(), tree, b"")]
        while todo:
            state, node, before = todo.pop()
            states += 1
            assert _allowed(state) == set(node), before
            for value, following in node.items():
                if value != _EOS:
                    after = state.deep_copy()
                    assert after.consume_token(value)
                    todo.append((after, following, before + bytes([value])))
        return states


def _allowed(state: llguidance.LLMatcher) -> set[int]:
    bits = state.compute_bitmask()
    return {token for token in range(_EOS + 1) if bits[token // 8] >> (token % 8) & 1}


def bnf_to_lark(text: str) -> str:
    """A GBNF or EBNF grammar as Lark, by llguidance's own converter."""
    from llguidance.gbnf_to_lark import gbnf_to_lark

    lark = gbnf_to_lark(text)
    return lark if isinstance(lark, str) else json.dumps(lark)
