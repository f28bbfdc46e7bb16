"""Which cell a token of the answer writes, read off the text written so far.

The text of a mask tells where its writer stands: `|` ends a run (of one cell where no count is
written), a new line ends a row. So nano gives every answer token the image state of the very cell
it writes and, amid a run length, what is still to be said of it. The same walk serves the formats
`sd` and `rrle`; after something else it only loses its way, it never fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from text4seg.core.types import OTHERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

NOWHERE = -1
# In place of the number of opened tokens: a turn begins and its speaker comes next; the user
# speaks, who may well write `<seg>` without meaning a mask.
_SPEAKER, _USER = -1, -2


class WriterState(NamedTuple):
    """Where the writer stands: inside a mask once all tokens of `<seg>` have been `opened`.

    `length` is the run length written so far, `NOWHERE` while there is none, and 0 after its star;
    `named` whether the run's label is another word than `others`, `NOWHERE` before it is written.
    """

    opened: int = 0
    row: int = 0
    col: int = 0
    length: int = NOWHERE
    named: int = NOWHERE


class CellPointer(NamedTuple):
    """What the next token writes: its cell, or `NOWHERE`, and the run as in `Place`."""

    cell: int
    length: int
    named: int


OUTSIDE_MASK = CellPointer(NOWHERE, NOWHERE, NOWHERE)


@dataclass(frozen=True, slots=True)
class CellTracker:
    """The tokens that move the writer: `open` are all of `<seg>`, `close` begin `</seg>`.

    A label's last character may melt with what follows it (`.|`, `?|`), and a line end with the
    space before a digit; so what ends a run or a row are sets. `turn` and `assistant` begin what
    the model says.
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

    def advance(self, place: WriterState, token: int) -> WriterState:  # noqa: PLR0911 - a case a line
        """Where the writer stands after `token`."""
        opened, row, col, length, named = place
        if token == self.turn:
            return WriterState(_SPEAKER)
        if opened < 0:
            heard = opened == _SPEAKER and token == self.assistant
            return WriterState(0 if heard else _USER)
        if opened < len(self.open):
            if token == self.open[opened]:
                return WriterState(opened + 1)
            return WriterState(int(token == self.open[0]))
        if token in self.close:
            return WriterState()
        if token in self.bar:
            return WriterState(opened, row, col + max(length, 1))
        if token in self.newline:
            return WriterState(opened, row + 1, 0)
        if token == self.star:
            return WriterState(opened, row, col, 0, named)
        if length >= 0 and token in self.digits:
            return WriterState(
                opened, row, col, min(length * 10 + self.digits[token], 10_000), named
            )
        # A star and digits amid a label are no run length: that stands right before its end.
        named = self._is_name(token) if named == NOWHERE else named
        return WriterState(opened, row, col, NOWHERE, named)

    def _is_name(self, token: int) -> int:
        """Whether a label that begins so is another word than `others`."""
        return int(token not in self.others)

    def after(self, tokens: Iterable[int]) -> WriterState:
        """Where the writer stands after all these tokens."""
        place = WriterState()
        for token in tokens:
            place = self.advance(place, token)
        return place

    def point(self, place: WriterState, rows: int, cols: int) -> CellPointer:
        """What the token after that place writes."""
        inside = place.opened == len(self.open) and place.row < rows and place.col < cols
        if not inside:
            return OUTSIDE_MASK
        return CellPointer(place.row * cols + place.col, place.length, place.named)

    def pointers(self, tokens: Iterable[int], rows: int, cols: int) -> list[CellPointer]:
        place, found = WriterState(), []
        for token in tokens:
            place = self.advance(place, token)
            found.append(self.point(place, rows, cols))
        return found


def _ending(spelled: dict[int, str], mark: str) -> frozenset[int]:
    """Tokens that end in the mark, but not in two of its first letter."""
    return frozenset(
        token
        for token, letters in spelled.items()
        if letters.endswith(mark) and not letters.endswith(mark[0] + mark)
    )
