"""A grammar compiled for a vocabulary, and a place in it.

llguidance does the work; this file turns its error states and panics into ``GrammarError`` and
its two kinds of answers (forced tokens, masks) into one question: what may come next?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from text4seg.core.errors import GrammarError
from text4seg.decoding.vocabulary import import_llguidance

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from jaxtyping import Int

    from text4seg.codec import Format
    from text4seg.core.types import GridShape
    from text4seg.decoding.vocabulary import Vocabulary

CACHED_GRAMMARS = 128
"""Compiled grammars kept per vocabulary; the oldest goes first."""

CACHED_MASKS = 256
"""Masks kept per vocabulary; one of a 150k vocabulary takes 20 kB."""

# The 64×64 and 150-label grammars are long lists of small rules: over the defaults, yet quick.
_LIMITS = {"max_grammar_size": 4_000_000, "initial_lexer_fuel": 20_000_000}


class CompiledGrammar:
    """A grammar ready to be walked; made by ``compile_grammar``, immutable, safe to share."""

    def __init__(self, lark: str, vocabulary: Vocabulary, matcher: Any) -> None:
        self.lark = lark
        self.vocabulary = vocabulary
        self._matcher = matcher

    def start(self) -> GrammarState:
        """A fresh place at the grammar's beginning."""
        return GrammarState(self.vocabulary, self._matcher.deep_copy())


def compile_grammar(lark: str, vocabulary: Vocabulary) -> CompiledGrammar:
    """Compile ``lark`` (llguidance's dialect), once per vocabulary.

    Raises:
        GrammarError: the grammar does not parse, or is too large for the library.
    """
    cached = vocabulary.grammars.get(lark)
    if isinstance(cached, CompiledGrammar):
        return cached
    llguidance = import_llguidance()
    tokenizer = vocabulary.matcher_tokenizer
    limits = llguidance.LLParserLimits(**_LIMITS)

    def compile_matcher() -> Any:
        source = llguidance.LLMatcher.grammar_from_lark(lark)
        return llguidance.LLMatcher(tokenizer, source, log_level=0, limits=limits)

    matcher = _without_panic(compile_matcher, "the grammar does not compile")
    if matcher.is_error():
        raise GrammarError(f"the grammar does not compile: {_first_line(matcher.get_error())}")
    return _keep(vocabulary, lark, CompiledGrammar(lark, vocabulary, matcher))


def compile_mask_grammar(
    form: Format, shape: GridShape, labels: Sequence[str] | None, vocabulary: Vocabulary
) -> CompiledGrammar:
    """The compiled grammar of a mask text, made once for a format, grid, labels and vocabulary.

    Raises:
        GrammarError: the vocabulary cannot write a label, or the grammar is too large.
        LabelError: a label that no text can carry.
    """
    key = (form.name, shape, None if labels is None else tuple(labels))
    cached = vocabulary.grammars.get(key)
    if isinstance(cached, CompiledGrammar):
        return cached
    for label in labels or ():
        check_writable(vocabulary, label)
    compiled = compile_grammar(form.grammar(shape, labels), vocabulary)
    return _keep(vocabulary, key, compiled)


def check_writable(vocabulary: Vocabulary, label: str) -> None:
    """Raise `GrammarError` unless the vocabulary has every byte of a label.

    Some tokenizers drop what they have no token for: the text would silently lose its label.
    """
    for spaced in (label, f" {label}"):
        written = vocabulary.decode(vocabulary.encode(spaced.encode()))
        if written != spaced.encode():
            raise GrammarError(
                f"the vocabulary cannot write the label {label!r}: its tokens read "
                f"{written.decode(errors='replace')!r}; use other words for it"
            )


def _keep(vocabulary: Vocabulary, key: Hashable, compiled: CompiledGrammar) -> CompiledGrammar:
    if len(vocabulary.grammars) >= CACHED_GRAMMARS:
        vocabulary.grammars.pop(next(iter(vocabulary.grammars)))
    vocabulary.grammars[key] = compiled
    return compiled


class GrammarState:
    """A place in a grammar: the next token is forced, or one of several allowed, or none.

    Forced means: the grammar leaves no choice of bytes, so the tokenizer's canonical tokens for
    these bytes are taken as they are, or the mask leaves one token only. A forced stretch is
    asked for once and walked to its end, so that its tokens do not depend on how it is fed.
    """

    def __init__(self, vocabulary: Vocabulary, matcher: Any) -> None:
        self._vocabulary = vocabulary
        self._matcher = matcher
        self._forced: list[int] = []
        self._allowed: Int[np.ndarray, " allowed"] | None = None
        self._ended = False
        self._asked = False

    def copy(self) -> GrammarState:
        """An independent place to try a draft from (about 0.05 ms)."""
        other = GrammarState(self._vocabulary, self._matcher.deep_copy())
        other._forced = list(self._forced)
        other._allowed = self._allowed
        other._ended = self._ended
        other._asked = self._asked
        return other

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing but the end may follow."""
        self._ask()
        return self._ended

    def forced(self) -> int | None:
        """The token that the grammar leaves no choice about, or None where there is one."""
        self._ask()
        return self._forced[0] if self._forced else None

    def allowed(self) -> Int[np.ndarray, " allowed"]:
        """The ids that may come next, ascending; one id where the token is forced."""
        self._ask()
        if self._forced:
            return np.array(self._forced[:1])
        return self._allowed if self._allowed is not None else np.empty(0, dtype=np.int64)

    def advance(self, token: int) -> bool:
        """Take ``token``; False (and this place is spoilt) if the grammar does not allow it."""
        self._ask()
        if self._ended:
            return False
        if token == self._vocabulary.eos:
            allowed = self.allowed()
            self._ended = bool(len(allowed)) and bool(np.any(allowed == token))
            return self._ended
        if self._forced:
            if token != self._forced[0]:
                return False
            self._forced.pop(0)
        if not self._matcher.consume_token(token):
            self._ended = True
            return False
        self._allowed = None
        self._asked = bool(self._forced)
        return True

    def follow(self, tokens: Sequence[int], *, forcing: bool) -> list[int]:
        """Go along ``tokens`` as far as the grammar lets one go; cheaper than ``advance``.

        With ``forcing``, where the grammar forces other tokens these are taken instead, and the
        walk ends behind them. A place that was followed from may only be followed from again.
        """
        matcher = self._matcher
        if not forcing:
            return list(tokens[: matcher.try_consume_tokens(list(tokens))])
        taken: list[int] = []
        while len(taken) < len(tokens):
            forced = self._forced or list(matcher.compute_ff_tokens())
            self._forced = []
            step = forced or [tokens[len(taken)]]
            held = matcher.try_consume_tokens(step)
            taken += step[:held]
            if held < len(step) or step != list(tokens[len(taken) - held : len(taken)]):
                break
        return taken

    def _ask(self) -> None:
        """Find out what may follow, once per place."""
        if self._asked or self._ended:
            return
        self._asked = True
        matcher = self._matcher
        if matcher.is_stopped():
            self._end()
            return
        self._forced = list(_without_panic(matcher.compute_ff_tokens, "the grammar broke"))
        if self._forced:
            self._check_forced()
            return
        self._allowed = _allowed_tokens(matcher, self._vocabulary)
        if len(self._allowed) == 0:
            self._end()
        elif len(self._allowed) == 1:
            self._forced = [int(self._allowed[0])]
            if self._forced[0] == self._vocabulary.eos:
                self._end()

    def _check_forced(self) -> None:
        """The one promise of a tokenizer that the text rests on: its tokens read as it wrote."""
        forced = self._matcher.compute_ff_bytes()
        pieces = [self._vocabulary.tokens[token] for token in self._forced]
        written = b"".join(pieces)
        if not all(pieces) or not forced.startswith(written):
            raise GrammarError(
                f"the tokenizer writes the forced text {forced.decode(errors='replace')!r} in "
                f"tokens that read {written.decode(errors='replace')!r}; "
                "does the vocabulary hold every byte of the labels and all ten digits?"
            )

    def _end(self) -> None:
        self._ended = True
        self._forced = []
        matcher = self._matcher
        if matcher.is_error() and not matcher.get_error().startswith("NoExtension"):
            raise GrammarError(f"the grammar broke: {_first_line(matcher.get_error())}")
        if matcher.is_error() or not matcher.is_accepting():
            raise GrammarError(
                "the text is incomplete, but no token of the vocabulary can continue it; "
                "does the vocabulary hold every byte of the labels and all ten digits?"
            )


def _allowed_tokens(matcher: Any, vocabulary: Vocabulary) -> Int[np.ndarray, " allowed"]:
    """Ids of the mask's set bits. A grammar has few different masks, so they are read once each."""
    mask: bytes = _without_panic(matcher.compute_bitmask, "the grammar broke")
    allowed = vocabulary.masks.get(mask)
    if allowed is None:
        bits = np.unpackbits(np.frombuffer(mask, dtype=np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: len(vocabulary)])
        allowed.setflags(write=False)
        if len(vocabulary.masks) >= CACHED_MASKS:
            vocabulary.masks.clear()
        vocabulary.masks[mask] = allowed
    return allowed


def _without_panic(call: Callable[[], Any], what: str) -> Any:
    """Run a call into the Rust library; its panics do not derive from Exception."""
    try:
        return call()
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise GrammarError(f"{what}: the grammar library gave up ({_first_line(error)})") from None


def _first_line(message: object) -> str:
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
