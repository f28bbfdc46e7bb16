"""A grammar compiled for a vocabulary, and a place in it.

llguidance does the work. This module turns its error states and panics into `GrammarError`, and its
two kinds of results (forced tokens, token masks) into one: what may come next.

What may come next in a line depends on how many of its cells are written, on the label of the last
run, and on the text after that run. Results are cached by these (`codec.syntax.Cursor`), and the
library is called only for places that are new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from text4seg.core.errors import GrammarError
from text4seg.decoding.vocabulary import import_llguidance

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from jaxtyping import Int

    from text4seg.codec import Format, Syntax
    from text4seg.core.types import GridShape
    from text4seg.decoding.vocabulary import Vocabulary

CACHED_GRAMMARS = 128
"""Compiled grammars kept per vocabulary; the oldest goes first."""

CACHED_MASKS = 256
"""Masks kept per vocabulary; one of a 150k vocabulary takes 20 kB."""

KNOWN_PLACES = 2048
"""Places kept per grammar; one takes about half a kilobyte."""

LONGEST_RUNS = 784
"""Cells that runs may fill together. llguidance recurses over them: at 32×32 in `rle` it overflows
the stack and ends the process."""

# The 64×64 and 150-label grammars are long lists of small rules: over the defaults, yet quick.
_LIMITS = {"max_grammar_size": 4_000_000, "initial_lexer_fuel": 20_000_000}


class CompiledGrammar:
    """A grammar ready to be walked; made by `compile_grammar`, safe to share.

    Attributes:
        lark: The grammar's text.
        vocabulary: The vocabulary that it was compiled for.
        syntax: The syntax of the format whose texts these are; None for a grammar of other text.
        shape: The grid of these texts.
        cursor: A cursor at the beginning of a text, where the syntax has one.
        known: What may follow, by the keys of cursors.
    """

    def __init__(
        self,
        lark: str,
        vocabulary: Vocabulary,
        matcher: Any,
        *,
        syntax: Syntax | None = None,
        shape: GridShape | None = None,
    ) -> None:
        self.lark = lark
        self.vocabulary = vocabulary
        self.syntax, self.shape = syntax, shape
        self.cursor = None if syntax is None or shape is None else syntax.cursor(shape)
        self.known: dict[Hashable, _Next] = {}
        self._matcher = matcher

    def start(self) -> GrammarState:
        """A new place at the beginning of the text.

        Returns:
            The state from which tokens are checked.
        """
        return GrammarState(self, self._matcher.deep_copy())


class _Next(NamedTuple):
    """What may follow a place: tokens that are forced, or several allowed ones, or the end."""

    forced: tuple[int, ...]
    allowed: Int[np.ndarray, " allowed"] | None
    ended: bool


def compile_grammar(
    lark: str,
    vocabulary: Vocabulary,
    *,
    syntax: Syntax | None = None,
    shape: GridShape | None = None,
) -> CompiledGrammar:
    """Compile a grammar, once per vocabulary.

    Args:
        lark: The grammar in llguidance's dialect of Lark.
        vocabulary: The tokenizer.
        syntax: The syntax of the texts, if they are masks.
        shape: The grid of the texts, if they are masks.

    Returns:
        The compiled grammar.

    Raises:
        GrammarError: The grammar does not parse, or is too large for the library.
    """
    key = lark if syntax is None else (lark, syntax, shape)
    cached = vocabulary.grammars.get(key)
    if isinstance(cached, CompiledGrammar):
        return cached
    # Imported late: the room can be read and typed without the library.
    llguidance = import_llguidance()
    tokenizer = vocabulary.matcher_tokenizer
    limits = llguidance.LLParserLimits(**_LIMITS)

    def compile_matcher() -> Any:
        source = llguidance.LLMatcher.grammar_from_lark(lark)
        return llguidance.LLMatcher(tokenizer, source, log_level=0, limits=limits)

    matcher = _without_panic(compile_matcher, "the grammar does not compile")
    if matcher.is_error():
        raise GrammarError(f"the grammar does not compile: {_first_line(matcher.get_error())}")
    return _keep(
        vocabulary, key, CompiledGrammar(lark, vocabulary, matcher, syntax=syntax, shape=shape)
    )


def compile_mask_grammar(
    form: Format[Any], shape: GridShape, labels: Sequence[str] | None, vocabulary: Vocabulary
) -> CompiledGrammar:
    """Compile the grammar of a mask text, once for a format, grid, labels and vocabulary.

    Args:
        form: The format.
        shape: The grid.
        labels: The labels that may occur besides `others`; None: any.
        vocabulary: The tokenizer.

    Returns:
        The compiled grammar.

    Raises:
        GrammarError: The vocabulary cannot write a label, or the grammar is too large.
        LabelError: A label that no text can carry.
    """
    key = (form.name, shape, None if labels is None else tuple(labels))
    cached = vocabulary.grammars.get(key)
    if isinstance(cached, CompiledGrammar):
        return cached
    if form.syntax.covers_image and form.syntax.run_width(shape) > LONGEST_RUNS:
        raise GrammarError(
            f"the format {form.name} cannot be decoded on a grid of {shape}: its runs fill more "
            f"than {LONGEST_RUNS} cells together; take the format 'rrle' or a smaller grid"
        )
    for label in labels or ():
        check_writable(vocabulary, label)
    compiled = compile_grammar(
        form.grammar(shape, labels), vocabulary, syntax=form.syntax, shape=shape
    )
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
    # Dictionaries keep their order, so the first key is the oldest grammar.
    if len(vocabulary.grammars) >= CACHED_GRAMMARS:
        vocabulary.grammars.pop(next(iter(vocabulary.grammars)))
    vocabulary.grammars[key] = compiled
    return compiled


class GrammarState:
    """A place in a grammar: the next token is forced, or one of several allowed, or none.

    Forced means: the grammar leaves no choice of bytes, so the tokenizer's canonical tokens for
    these bytes are taken as they are, or the mask leaves one token only. A forced stretch is
    computed once and walked to its end, so that its tokens do not depend on how it is fed.
    """

    def __init__(self, grammar: CompiledGrammar, matcher: Any) -> None:
        self._grammar = grammar
        self._vocabulary = grammar.vocabulary
        self._matcher = matcher
        # Tokens that the matcher has not consumed yet: it is only called where the cache misses.
        self._waiting: list[int] = []
        # The last token; how a tokenizer continues forced text may depend on it.
        self._last = -1
        self._cursor = None if grammar.cursor is None else grammar.cursor.copy()
        # What may come next: forced tokens, or several allowed ones, or the end.
        self._forced: tuple[int, ...] = ()
        self._allowed: Int[np.ndarray, " allowed"] | None = None
        self._ended = False
        self._asked = False

    def copy(self) -> GrammarState:
        """An independent place to try a draft from (a few microseconds)."""
        other = GrammarState(self._grammar, self._matcher.deep_copy())
        other._waiting = list(self._waiting)
        other._last = self._last
        other._cursor = None if self._cursor is None else self._cursor.copy()
        other._forced, other._allowed = self._forced, self._allowed
        other._ended, other._asked = self._ended, self._asked
        return other

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing but the end may follow."""
        if not self._asked:
            self._ask()
        return self._ended

    def forced(self) -> int | None:
        """The token that the grammar leaves no choice about, or None where there is one."""
        if not self._asked:
            self._ask()
        return self._forced[0] if self._forced else None

    def allowed(self) -> Int[np.ndarray, " allowed"]:
        """The ids that may come next, ascending; one id where the token is forced."""
        self._ask()
        if self._forced:
            return np.array(self._forced[:1])
        return self._allowed if self._allowed is not None else np.empty(0, dtype=np.int64)

    def advance(self, token: int) -> bool:
        """Take `token`; False (and this place is spoilt) if the grammar does not allow it."""
        self._ask()
        if self._ended:
            return False
        if token == self._forced[0] if self._forced else self._allows(token):
            self.take(token)
            return True
        self._forced, self._ended = (), True
        return False

    def take(self, token: int) -> None:
        """Take a token that is known to be forced or allowed here."""
        # The end token is no text: the matcher never sees it.
        if token == self._vocabulary.eos:
            self._ended = True
            return
        self._waiting.append(token)
        if self._forced:
            self._forced = self._forced[1:]
        self._allowed = None
        self._asked = bool(self._forced)
        if self._cursor is not None:
            self._last = token
            self._cursor.feed(self._vocabulary.tokens[token])

    def follow(self, tokens: Sequence[int], *, forcing: bool) -> list[int]:
        """The part of `tokens` that the grammar lets one go along; cheaper than `advance`.

        With `forcing`, where the grammar forces other tokens these are taken instead, and the
        walk ends behind them. This place stays where it is.
        """
        self._catch_up()
        # The matcher validates a whole draft at once, which is much quicker than token by token.
        if not forcing:
            return list(tokens[: self._matcher.validate_tokens(list(tokens))])
        matcher = self._matcher.deep_copy()
        # On a copy: take forced tokens as the grammar has them, and stop at the first difference.
        waiting = list(self._forced)
        taken: list[int] = []
        while len(taken) < len(tokens):
            step = waiting or list(matcher.compute_ff_tokens()) or [tokens[len(taken)]]
            waiting = []
            held = matcher.try_consume_tokens(step)
            taken += step[:held]
            if held < len(step) or step != list(tokens[len(taken) - held : len(taken)]):
                break
        return taken

    def _allows(self, token: int) -> bool:
        allowed = self._allowed
        if allowed is None:
            return False
        # Allowed ids are ascending.
        place = int(allowed.searchsorted(token))
        return place < len(allowed) and int(allowed[place]) == token

    def _catch_up(self) -> None:
        """Let the matcher consume the tokens taken since it was last called."""
        if not self._waiting:
            return
        held = self._matcher.try_consume_tokens(self._waiting)
        if held < len(self._waiting):
            raise GrammarError(
                f"the grammar broke at {self._vocabulary.tokens[self._waiting[held]]!r}"
            )
        self._waiting = []

    def _ask(self) -> None:
        """Compute what may follow, once per place."""
        if self._asked:
            return
        self._asked = True
        cursor, known = self._cursor, self._grammar.known
        if cursor is None:
            self._forced, self._allowed, self._ended = self._asked_of_matcher()
            return
        # What a forced stretch reads also depends on the token before: where that could go on.
        key = (self._last, cursor.key())
        found = known.get(key)
        if found is None:
            if len(known) >= KNOWN_PLACES:
                # Simpler than evicting one by one, and rare: a grid has few different places.
                known.clear()
            found = known[key] = self._asked_of_matcher()
        self._forced, self._allowed, self._ended = found

    def _asked_of_matcher(self) -> _Next:
        self._catch_up()
        matcher = self._matcher
        if matcher.is_stopped():
            return self._end()
        # Tokens that the grammar leaves no choice about come as a whole stretch.
        forced = tuple(_without_panic(matcher.compute_ff_tokens, "the grammar broke"))
        if forced:
            self._check_forced(forced)
            return _Next(forced, None, ended=False)
        allowed = _allowed_tokens(matcher, self._vocabulary)
        if len(allowed) == 0 or (len(allowed) == 1 and int(allowed[0]) == self._vocabulary.eos):
            return self._end()
        # One allowed token is forced as well, though the library does not call it so.
        if len(allowed) == 1:
            return _Next((int(allowed[0]),), None, ended=False)
        return _Next((), allowed, ended=False)

    def _check_forced(self, tokens: Sequence[int]) -> None:
        """Check that the tokenizer's tokens decode to the text that the grammar forces."""
        forced = self._matcher.compute_ff_bytes()
        pieces = [self._vocabulary.tokens[token] for token in tokens]
        written = b"".join(pieces)
        if not all(pieces) or not forced.startswith(written):
            raise GrammarError(
                f"the tokenizer writes the forced text {forced.decode(errors='replace')!r} in "
                f"tokens that read {written.decode(errors='replace')!r}; "
                "does the vocabulary hold every byte of the labels and all ten digits?"
            )

    def _end(self) -> _Next:
        matcher = self._matcher
        if matcher.is_error() and not matcher.get_error().startswith("NoExtension"):
            raise GrammarError(f"the grammar broke: {_first_line(matcher.get_error())}")
        if matcher.is_error() or not matcher.is_accepting():
            raise GrammarError(
                "the text is incomplete, but no token of the vocabulary can continue it; "
                "does the vocabulary hold every byte of the labels and all ten digits?"
            )
        return _Next((), None, ended=True)


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
