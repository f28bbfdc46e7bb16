"""Which cell a token of the answer writes, read off the text written so far.

The text of a mask tells where its writer stands: `|` ends a run (of one cell where no count is
written), a new line ends a row. So nano gives every answer token the image state of the very cell
it writes. The same walk serves the formats `sd` and `rrle`; after something else it only loses its
way, it never fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

NOWHERE = -1


class Place(NamedTuple):
    """Where the writer stands: inside a mask once all tokens of `<seg>` have been `opened`.

    `count` is the run length written so far, `NOWHERE` while there is none.
    """

    opened: int = 0
    row: int = 0
    col: int = 0
    count: int = NOWHERE  # type: ignore[assignment]  # hides tuple.count, which nobody calls


@dataclass(frozen=True, slots=True)
class Walker:
    """The few tokens that move the writer: `open` are all of `<seg>`, `close` begins `</seg>`."""

    open: tuple[int, ...]
    close: int
    bar: int
    newline: int
    star: int
    digits: dict[int, int]

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> Walker:
        def ids(text: str) -> list[int]:
            found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
            return found

        return cls(
            open=tuple(ids("<seg>")),
            close=ids("</seg>")[0],
            bar=ids("|")[0],
            newline=ids("\n")[0],
            star=ids("x *")[-1],
            digits={ids(str(digit))[-1]: digit for digit in range(10)},
        )

    def advance(self, place: Place, token: int) -> Place:  # noqa: PLR0911 - a case a line
        """Where the writer stands after `token`."""
        opened, row, col, count = place
        if opened < len(self.open):
            if token == self.open[opened]:
                return Place(opened + 1)
            return Place(int(token == self.open[0]))
        if token == self.close:
            return Place()
        if token == self.bar:
            return Place(opened, row, col + abs(count))
        if token == self.newline:
            return Place(opened, row + 1, 0)
        if token == self.star:
            return Place(opened, row, col, 0)
        if count >= 0 and token in self.digits:
            return Place(opened, row, col, min(count * 10 + self.digits[token], 10_000))
        return place

    def cell(self, place: Place, rows: int, cols: int) -> int:
        """Index of the cell that the next token writes, or `NOWHERE`."""
        inside = place.opened == len(self.open) and place.row < rows and place.col < cols
        return place.row * cols + place.col if inside else NOWHERE

    def pointers(self, tokens: Iterable[int], rows: int, cols: int) -> list[int]:
        place, found = Place(), []
        for token in tokens:
            place = self.advance(place, token)
            found.append(self.cell(place, rows, cols))
        return found
