"""All errors that the package raises on purpose, in one tree under `Text4SegError`.

A message says what was expected, what was found, where, and what to do about it; an unknown name
lists the known ones. Programs catch `Text4SegError`; the command line prints its message.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_EXCERPT = 24


class Text4SegError(Exception):
    """Base of all errors of this package."""


class LabelError(Text4SegError):
    """A label that the text format cannot carry."""


class InputError(Text4SegError):
    """Something given by the user (an image, a mask, a box, a grid) that cannot be used."""


class GrammarError(Text4SegError):
    """A grammar that cannot be written or compiled as asked."""


class WeightsError(Text4SegError):
    """Weights that are missing, damaged or could not be fetched."""


class OutputError(Text4SegError):
    """A result that could not be written; nothing half-written is left behind."""


class PluginError(Text4SegError):
    """An installed package whose entry point cannot be used: broken, or of a name that is taken."""


class MissingExtraError(Text4SegError):
    """An optional dependency that the called function needs is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{package} is not installed; this needs the extra {extra!r}: "
            f"pip install 'text4seg[{extra}]'"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.package, self.extra)


class UnknownNameError(Text4SegError, KeyError):
    """A name that is not in a list; the message gives the list and the closest entry.

    It is a `KeyError` as well, so that registries are mappings like any other.
    """

    __str__ = Exception.__str__  # KeyError would show the message in quotes

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = tuple(known)
        close = difflib.get_close_matches(name[:80], self.known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(self.known)}{hint}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.kind, self.name, self.known)


class MaskSyntaxError(Text4SegError):
    """Text that is not in the language of a mask format.

    Attributes:
        text: The text.
        at: The offset of the first wrong character; `len(text)` where the text stops too early.
        expected: What could be there.
    """

    def __init__(self, text: str, at: int, expected: str) -> None:
        self.text = text
        self.at = at
        self.expected = expected
        super().__init__(
            f"line {self.line}, column {self.column}: expected {expected}, found {self.found}"
        )

    @property
    def line(self) -> int:
        """The line of the first wrong character, from 1."""
        return self.text.count("\n", 0, self.at) + 1

    @property
    def column(self) -> int:
        """The column of the first wrong character in its line, from 1."""
        return self.at - self.text.rfind("\n", 0, self.at)

    @property
    def found(self) -> str:
        """What stands there instead: a short quotation, or "the end of the text"."""
        if self.at >= len(self.text):
            return "the end of the text"
        excerpt = self.text[self.at : self.at + _EXCERPT]
        return ascii(excerpt) + ("…" if len(self.text) > self.at + _EXCERPT else "")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.text, self.at, self.expected)
