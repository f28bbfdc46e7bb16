"""A grammar in the hands of the engine that it is exported for, one byte at a time."""

from __future__ import annotations

from functools import cache
from typing import Any

BYTES = [bytes([value]) for value in range(256)]
END = 256


class XGrammar:
    """xgrammar, the engine of vLLM and SGLang."""

    def __init__(self, ebnf: str) -> None:
        self._compiled = _xgrammar_compiler().compile_grammar(ebnf)

    def accepts(self, text: str) -> bool:
        import xgrammar

        matcher = xgrammar.GrammarMatcher(self._compiled)
        fits = all(matcher.accept_token(value) for value in text.encode())
        return fits and bool(matcher.accept_token(END))


@cache
def _xgrammar_compiler() -> Any:
    import xgrammar

    tokens = [*BYTES, b"</s>"]
    raw = xgrammar.VocabType.RAW
    info = xgrammar.TokenizerInfo(tokens, vocab_type=raw, stop_token_ids=[END])
    return xgrammar.GrammarCompiler(info)
