"""Reading one line of a mask forgivingly: words matched to labels, runs fitted to a width.

Everything takes time linear in the line, whatever it holds: how many pieces and unknown words are
looked at is bounded by the grid, not by the text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from text4seg.codec.run_text import names_of
from text4seg.core.errors import LabelError
from text4seg.core.types import OTHERS, clean_label, label_fault

_COUNT = re.compile(r"\*\s*[-+]?(\d+)")
_STRICT_RUN = re.compile(r"([^|\n\r]+) \*([1-9][0-9]{0,4})")
_DIGITS = 7  # more than any grid needs; longer numbers are capped
_LONGEST_WORD = 2000  # characters; of longer garbage the end is looked at
_COMPARED = 64  # unknown words compared letter by letter with the labels
_LOOKED_UP = 4096  # unknown words looked at at all; the rest are background
_NOTED = 50  # repairs listed for one line
_SIMILAR = 0.6  # difflib's ratio from which a word is taken for a label


@dataclass(slots=True)
class Run:
    """A label and how many cells it fills, None where the text does not say."""

    label: str
    count: int | None


@dataclass(slots=True)
class Line:
    """A line of text as runs, with what had to be repaired.

    `trust` says how much it looks like a row: 2 like one, 1 a little, 0 not at all.
    """

    text: str
    runs: list[Run] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    trust: int = 0

    def note(self, what: str) -> None:
        """Remember a repair, each kind once and not too many of them."""
        self.notes[what if len(self.notes) < _NOTED else "and more of the kind"] = None

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to read."""
        return not self.text.strip()


class Vocabulary:
    """Matches words to the labels asked for (None: every legal label is one)."""

    def __init__(self, labels: Sequence[str] | None) -> None:
        self.names = None if labels is None else names_of(labels)
        names = self.names or ()
        self._folded = {name.casefold(): name for name in reversed(names)}
        longest_first = sorted(names, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._cache: dict[str, tuple[str, str]] = {}
        self._compared = 0

    def is_label(self, word: str) -> bool:
        """Whether `word` is a label as it stands."""
        if self.names is None:
            return word == OTHERS or not label_fault(word)
        return word in self.names

    def find(self, word: str) -> tuple[str | None, str]:
        """The label meant by `word` (None: no idea) and what was changed, if anything."""
        if self.is_label(word):
            return word, ""
        word = " ".join(word[-_LONGEST_WORD:].split())
        if word not in self._cache:
            label = self._open(word) if self.names is None else self._close(word)
            self._cache[word] = (label or "", f"{_short(word)} read as {label or OTHERS!r}")
        label, note = self._cache[word]
        return label or None, note

    def split(self, word: str) -> list[str]:
        """Labels that were written without a separator, or the word alone."""
        found: list[str] = []
        at = 0
        while at < len(word):
            match = self._any.match(word, at)
            if match is None:
                return [word]
            found.append(match[0])
            at = match.end()
            if at < len(word) and word[at] != " ":
                return [word]
            while at < len(word) and word[at] == " ":
                at += 1
        return found or [word]

    def _open(self, word: str) -> str | None:
        try:
            return clean_label(word)[0]
        except LabelError:
            return OTHERS if word.strip(" *") == OTHERS else None

    def _close(self, word: str) -> str | None:
        bare = word.strip(" .,:;!?`'\"*#>()[]-").casefold()
        if bare in self._folded or len(self._cache) > _LOOKED_UP:
            return self._folded.get(bare)
        ends = [name for name in self.names or () if _ends_with_word(bare, name.casefold())]
        if ends:
            return max(ends, key=len)
        self._compared += 1
        if not bare or self._compared > _COMPARED or len(bare) > 2 * max(map(len, self._folded)):
            return None
        close = difflib.get_close_matches(bare, self._folded, n=1, cutoff=_SIMILAR)
        return self._folded[close[0]] if close else None


def _ends_with_word(text: str, word: str) -> bool:
    before = text[: -len(word)]
    return text.endswith(word) and not before[-1:].isalnum()


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else "…" + text[-29:])


def read_line(
    text: str, vocabulary: Vocabulary, cells: int, *, counted: bool, cut: bool = False
) -> Line:
    """Read a line that should fill `cells` cells as runs.

    Where `counted`, words without a count keep theirs open; elsewhere each fills one cell. Where
    the text was `cut` off after this line, an unfinished last word is dropped.
    """
    most = 4 * cells + 64
    line = Line(text)
    found: list[bool] = []
    written = 0
    for piece in text.split("|", most)[:most]:
        for word, count in _pieces(piece, vocabulary, line, most, counted=counted):
            label, note = vocabulary.find(word)
            if note:
                line.note(note)
            if counted and label and line.runs and line.runs[-1].label == label:
                line.note(f"neighbouring runs of {label!r} joined")
            found.append(label is not None)
            written += count is not None
            line.runs.append(Run(label or OTHERS, count))
    line.trust = _trust(line, vocabulary, found, cells, written if counted else None)
    if cut:
        _drop_unfinished(line, vocabulary, cells, counted=counted)
    return line


def _trust(
    line: Line, vocabulary: Vocabulary, found: list[bool], cells: int, written: int | None
) -> int:
    """How much a line looks like a row: `found` words were labels, `written` counts given."""
    separated = "|" in line.text
    if not any(found):
        return 0
    if written == 0:
        return 1 if separated else 0
    if written is None and not separated and cells > 1 and len(line.runs) < 2:
        return 1 if vocabulary.names and vocabulary.is_label(line.text.strip()) else 0
    if vocabulary.names is None:
        total = sum(run.count or 1 for run in line.runs)
        return 2 if cells <= 2 * total <= 4 * cells else 1
    return 2 if all(found) else 1


def _drop_unfinished(line: Line, vocabulary: Vocabulary, cells: int, *, counted: bool) -> None:
    word = line.text.rpartition("|")[2].strip()
    if counted:
        unfinished = line.runs and line.runs[-1].count is None
    else:
        short = len(line.runs) < cells
        unfinished = line.runs and (
            not vocabulary.is_label(word) or (short and vocabulary.names is None)
        )
    if unfinished:
        line.runs.pop()
        line.note("the unfinished end dropped")


def _pieces(
    piece: str, vocabulary: Vocabulary, line: Line, most: int, *, counted: bool
) -> Iterator[tuple[str, int | None]]:
    """The words of what stands between two separators, with their counts."""
    word = piece.strip(" ")
    strict = _STRICT_RUN.fullmatch(word)
    if not counted and vocabulary.is_label(word):
        yield word, 1
        return
    if counted and strict and vocabulary.is_label(strict[1]):
        yield strict[1], int(strict[2])
        return
    if not word.strip():
        line.note("an empty place between separators skipped")
        return
    at = 0
    for match in islice(_COUNT.finditer(word), most):
        *loose, last = _words(word[at : match.start()], vocabulary)
        at = match.end()
        for name in loose:
            line.note("a missing separator or count put in")
            yield name, None if counted else 1
        count = _count(match[1], line)
        if count:
            yield last, count
    rest = word[at:].strip("* \t")
    for name in _words(rest, vocabulary) if rest else ():
        line.note("a missing separator or count put in")
        yield name, None if counted else 1


def _words(text: str, vocabulary: Vocabulary) -> list[str]:
    word = text.strip()
    return [word] if vocabulary.is_label(word) else vocabulary.split(word[-_LONGEST_WORD:])


def _count(digits: str, line: Line) -> int:
    count = int(digits[:_DIGITS])
    if str(count) != digits:
        line.note(f"the count {_short(digits)} read as {count}")
    if count == 0:
        line.note("a run of no cells dropped")
    return count


def fit(runs: Sequence[Run], cells: int, notes: list[str], *, slack: int) -> list[str]:
    """Words for exactly `cells` cells: counts put in, a surplus cut off, a lack filled up.

    The left edge is where a model counts best, so it stands. Runs without a count share what the
    others leave. A lack of up to `slack` cells goes to the last run, a larger one to background.
    """
    known = sum(run.count for run in runs if run.count is not None)
    open_runs = sum(run.count is None for run in runs)
    share, more = divmod(max(cells - known, open_runs), open_runs) if open_runs else (0, 0)
    words: list[str] = []
    for run in runs:
        count = run.count
        if count is None:
            count, more = share + (more > 0), more - 1
        words += [run.label] * min(count, cells + 1 - len(words))
    total = known + (max(cells - known, open_runs) if open_runs else 0)
    if total > cells:
        notes.append(f"{total} cells cut to {cells}")
    elif total < cells:
        last = words[-1] if words and cells - total <= slack else OTHERS
        notes.append(f"{total} cells filled up to {cells} with {last!r}")
        words += [last] * (cells - total)
    return words[:cells]
