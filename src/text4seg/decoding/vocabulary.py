"""The vocabulary as bytes: all that decoding knows of a tokenizer."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from text4seg.core.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from types import ModuleType

    import numpy as np
    from jaxtyping import Int

KNOWN_LINES = 4096
"""Lines whose tokens are kept per vocabulary, and as many pieces of lines."""

_AFTER_LINE = b" others"  # a word that the next line may begin with


def import_llguidance() -> ModuleType:
    """Import the grammar library; raises `MissingExtraError` where it is not installed."""
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError("llguidance", "hf") from error
    module: ModuleType = llguidance
    return module


class Vocabulary:
    """A tokenizer as bytes, with the grammars that were compiled for it.

    Build one for each tokenizer and keep it: compiled grammars and lines are cached on it.

    Args:
        tokens: The bytes of every token, indexed by id; `b""` for ids without text.
            A model may give more logits than there are tokens (padded embeddings); the surplus is
            never chosen.
        eos: The id of the end token.
        encode: Converts bytes to ids, without added tokens. Called with valid UTF-8 only.
        special: Ids of control tokens; a grammar never allows them.

    Attributes:
        grammars: Compiled grammars by what they were made of.
        masks: Allowed tokens by the bitmask of the grammar library.
        lines: Tokens of whole lines.
        pieces: Tokens of the beginnings of lines.

    Raises:
        InputError: `eos` is not an id.
    """

    def __init__(
        self,
        tokens: Sequence[bytes],
        eos: int,
        encode: Callable[[bytes], Sequence[int]],
        *,
        special: Iterable[int] = (),
    ) -> None:
        if not 0 <= eos < len(tokens):
            raise InputError(f"the end token {eos} is outside a vocabulary of {len(tokens)} tokens")
        self.tokens = list(tokens)
        self.eos = eos
        self.special = tuple(sorted({*special, eos}))
        # Caches of `compiled_grammar`: compiled grammars, and token masks as arrays of ids.
        self.grammars: dict[Hashable, Any] = {}
        self.masks: dict[bytes, Int[np.ndarray, " allowed"]] = {}
        # Caches of `encode_line`: whole lines, and their pieces with what follows them.
        self.lines: dict[bytes, tuple[int, ...] | None] = {}
        self.pieces: dict[bytes, tuple[int, ...] | None] = {}
        self._encode = encode

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: bytes) -> list[int]:
        """The canonical tokens of `text`.

        Args:
            text: Valid UTF-8.

        Returns:
            The ids of the tokens.
        """
        return list(self._encode(text))

    def encode_line(self, line: bytes) -> tuple[int, ...] | None:
        """Tokenize a line of text with its line break, from a cache.

        Args:
            line: A line that a drafter guessed; drafts repeat lines.

        Returns:
            Its tokens; None if a token would reach into the next line, or the line is not UTF-8.
        """
        if line not in self.lines:
            if len(self.lines) >= KNOWN_LINES:
                self.lines.clear()
            joined = self._encode_in_pieces(line)
            self.lines[line] = self._encode_apart(line) if joined is None else joined
        return self.lines[line]

    def _encode_in_pieces(self, line: bytes) -> tuple[int, ...] | None:
        """The line's tokens from those of its pieces; None where a token crosses a border."""
        # A mask has few different runs, so their tokens are cached; tokenizing whole lines would
        # cost more than the forward pass of a small model.
        *ended, last = line.split(b"|")
        pieces = [*(piece + b"|" for piece in ended), last]
        tokens: list[int] = []
        for at, piece in enumerate(pieces):
            # A tokenizer may merge the end of a piece with the label that follows it.
            following = pieces[at + 1] if at + 1 < len(pieces) else _AFTER_LINE
            key = piece + following.partition(b" *")[0].rstrip(b"|\n")
            if key not in self.pieces:
                if len(self.pieces) >= KNOWN_LINES:
                    self.pieces.clear()
                self.pieces[key] = self._encode_before(piece, key[len(piece) :])
            found = self.pieces[key]
            if found is None:
                return None
            tokens += found
        return tuple(tokens)

    def _encode_before(self, piece: bytes, following: bytes) -> tuple[int, ...] | None:
        """The tokens of `piece` where they are the same whether `following` follows or not."""
        if not (_is_utf8(piece) and _is_utf8(following)):
            return None
        together, behind = self.encode(piece + following), self.encode(following)
        own = together[: len(together) - len(behind)]
        apart = together[len(own) :] == behind and self.decode(own) == piece
        return tuple(own) if apart else None

    def _encode_apart(self, line: bytes) -> tuple[int, ...] | None:
        if not _is_utf8(line):
            return None
        # A line keeps to itself if two of them are twice its tokens.
        twice = tuple(self.encode(line + line))
        once = twice[: len(twice) // 2]
        return once if once * 2 == twice and self.decode(once) == line else None

    def decode(self, tokens: Iterable[int]) -> bytes:
        """The bytes that `tokens` write.

        Args:
            tokens: Ids of tokens.

        Returns:
            The text.
        """
        return b"".join(self.tokens[token] for token in tokens)

    @cached_property
    def matcher_tokenizer(self) -> Any:
        """The vocabulary as llguidance sees it; its trie is built once (0.1–0.5 s for 50–150k)."""
        llguidance = import_llguidance()
        return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_AsTokenizer(self)))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


class _AsTokenizer:
    """The attributes and the call that `llguidance.TokenizerWrapper` needs of a tokenizer."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.eos_token_id = vocabulary.eos
        self.bos_token_id: int | None = None
        self.tokens = vocabulary.tokens
        self.special_token_ids = list(vocabulary.special)
        # Forced stretches are few and short, and asked for at every place: each is encoded once.
        self._encode = lru_cache(maxsize=4096)(vocabulary.encode)

    def __call__(self, text: bytes | str) -> list[int]:
        return self._encode(text if isinstance(text, bytes) else text.encode())
