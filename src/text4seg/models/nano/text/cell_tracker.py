"""Which cell a token of the answer writes, read off the text written so far.

The text of a mask shows where its writer stands: `|` ends a run (of one cell where no count is
written), a line end ends a row. So each answer token can be given the state of the very cell it
writes and, amid a run length, what is left to write of it. One automaton serves the formats `sd`
and `rrle`; on other text it loses its position, but never fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from text4seg.core.types import OTHERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

NOWHERE = -1
"""No cell, no run length, or no label yet."""
# In place of the number of opening tokens: a turn has begun and its speaker comes next; or the user
# speaks, whose `<seg>` begins no mask.
_SPEAKER, _USER = -1, -2


class WriterState(NamedTuple):
    """Position in the text of a mask.

    Attributes:
        opened: Tokens of `<seg>` read so far; inside a mask it is all of them.
        row: Row of the next cell.
        col: Column of the next cell.
        length: The run length written so far: `NOWHERE` for none, 0 after its star.
        named: Whether the run's label is not `others`; `NOWHERE` before it is written.
    """

    opened: int = 0
    row: int = 0
    col: int = 0
    length: int = NOWHERE
    named: int = NOWHERE


class CellPointer(NamedTuple):
    """What the next token writes.

    Attributes:
        cell: Index of its cell, row by row, or `NOWHERE`.
        length: As in `WriterState`.
        named: As in `WriterState`.
    """

    cell: int
    length: int
    named: int


OUTSIDE_MASK = CellPointer(NOWHERE, NOWHERE, NOWHERE)


@dataclass(frozen=True, slots=True)
class CellTracker:
    """The tokens that move a writer from cell to cell.

    What ends a run or a row are sets of tokens: a label's last character may melt with what follows
    it (`.|`, `?|`), and a line end with the space before a digit.

    Attributes:
        open: All tokens of `<seg>`.
        close: Tokens that begin `</seg>`.
        bar: Tokens that end a run.
        newline: Tokens that end a row.
        star: The token before a run length.
        digits: Token of a digit → its value.
        others: Tokens that begin the label `others`.
        turn: The token that begins a turn, if the tokenizer has one.
        assistant: The token that names the model as the speaker.
    """

    open: tuple[int, ...]
    close: frozenset[int]
    bar: frozenset[int]
    newline: frozenset[int]
    star: int
    digits: dict[int, int]
    others: frozenset[int]
    turn: int | None = None
    assistant: int = NOWHERE

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> CellTracker:
        """Look the tokens up in a byte-level tokenizer with single digits."""

        def ids(text: str) -> list[int]:
            found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
            return found

        special = tokenizer.get_added_tokens_decoder().keys()
        plain = {
            token: letters
            for letters, token in tokenizer.get_vocab().items()
            if token not in special
        }
        return cls(
            open=tuple(ids("<seg>")),
            close=frozenset({ids("</seg>")[0], *_ending(plain, "</")}),
            bar=_ending(plain, "|"),
            # Line ends and spaces as a byte-level tokenizer spells them.
            newline=_ending(plain, "Ċ") | _ending(plain, "ĊĠ"),
            star=ids("x *")[-1],
            digits={ids(str(digit))[-1]: digit for digit in range(10)},
            others=frozenset({ids(OTHERS)[0], ids(f" {OTHERS}")[0]}),
            turn=tokenizer.token_to_id("<|im_start|>"),
            assistant=ids("assistant")[0],
        )

    def advance(self, state: WriterState, token: int) -> WriterState:  # noqa: PLR0911 - a case a line
        """The state after one more token."""
        opened, row, col, length, named = state
        # Chat turns are followed, too: a user's text may hold a `<seg>` that begins no mask.
        if token == self.turn:
            return WriterState(_SPEAKER)
        if opened < 0:
            answers = opened == _SPEAKER and token == self.assistant
            return WriterState(0 if answers else _USER)
        # Not all of `<seg>` yet; a token that does not fit may begin it anew.
        if opened < len(self.open):
            if token == self.open[opened]:
                return WriterState(opened + 1)
            return WriterState(int(token == self.open[0]))
        if token in self.close:
            return WriterState()
        # A run without a count is of one cell.
        if token in self.bar:
            return WriterState(opened, row, col + max(length, 1))
        if token in self.newline:
            return WriterState(opened, row + 1, 0)
        if token == self.star:
            return WriterState(opened, row, col, 0, named)
        if length >= 0 and token in self.digits:
            # Bounded: the text may hold any number of digits.
            return WriterState(
                opened, row, col, min(length * 10 + self.digits[token], 10_000), named
            )
        # A star and digits amid a label are no run length: that stands right before its end.
        named = self._is_name(token) if named == NOWHERE else named
        return WriterState(opened, row, col, NOWHERE, named)

    def _is_name(self, token: int) -> int:
        """1 where a label that begins with this token is another word than `others`."""
        return int(token not in self.others)

    def after(self, tokens: Iterable[int]) -> WriterState:
        """The state after all these tokens, from the beginning of a text."""
        state = WriterState()
        for token in tokens:
            state = self.advance(state, token)
        return state

    def point(self, state: WriterState, rows: int, cols: int) -> CellPointer:
        """What the token after that state writes, in a grid of `rows` and `cols`."""
        # Behind the last cell nothing is pointed at, so a text that is too long cannot fail.
        inside = state.opened == len(self.open) and state.row < rows and state.col < cols
        if not inside:
            return OUTSIDE_MASK
        return CellPointer(state.row * cols + state.col, state.length, state.named)

    def pointers(self, tokens: Iterable[int], rows: int, cols: int) -> list[CellPointer]:
        """What the successor of each token writes, from the beginning of a text."""
        state, found = WriterState(), []
        for token in tokens:
            state = self.advance(state, token)
            found.append(self.point(state, rows, cols))
        return found


def _ending(spelled: dict[int, str], mark: str) -> frozenset[int]:
    """Tokens whose text ends in the mark, but not in two of its first character."""
    return frozenset(
        token
        for token, letters in spelled.items()
        if letters.endswith(mark) and not letters.endswith(mark[0] + mark)
    )
