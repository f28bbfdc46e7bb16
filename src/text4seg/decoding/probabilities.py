"""From the choices behind a mask text to the probability of every label in every cell.

A language model that writes a mask knows more than it writes: at each choice it gives a share to
every allowed token. Here these shares are read back as cells. Only bytes and the grid's shape are
known; whether a label was written as one token or as five makes no difference.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np

from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Float32, Float64, Int

    from text4seg.codec import Syntax
    from text4seg.core.types import GridShape
    from text4seg.decoding.compiled_grammar import CompiledGrammar
    from text4seg.decoding.stats import DecodingResult
    from text4seg.decoding.vocabulary import Vocabulary


def cell_probabilities(
    decoded: DecodingResult,
    grammar: CompiledGrammar,
    labels: Sequence[str],
) -> Float32[np.ndarray, "labels rows cols"]:
    """The probability of each label in each cell.

    Exact and approximate parts:

    - Formats without run lengths: P(label of the cell | the text before it), exactly: along the
      tokens written, the product of their shares; every other token counts for the label it begins.
    - Formats with run lengths: a run's label is read the same way. P(a run reaches a cell | the
      text before its count) sums over all counts of several digits, exactly as far as the digits
      written tell: after a first digit that was not written the second is unknown, and its share
      is spread evenly over the counts that begin with it. (So up to 19 columns it is exact
      wherever `1` was written.) Runs are then laid over each other, each end on its own: a cell
      belongs to the first run that reaches it. That their ends do not depend on each other is an
      approximation; so is that a label not chosen would have filled what is left of the line with
      a count that is evenly distributed.
    - Tokens that begin several labels and were not written are shared out among these labels as
      the other tokens are. Choices among more than a thousand tokens are cut to the likeliest.

    The grid at one half may differ from the text: the text takes the likeliest count of a run,
    the probabilities its whole distribution.

    Args:
        decoded: A complete text, written with any drafter.
        grammar: The grammar that it was written under; it knows the format and the grid.
        labels: Every label that the text uses, `others` among them.

    Returns:
        Probabilities; they sum to one over labels.

    Raises:
        InputError: The text is not of this grid, uses another label, or its format has no cells
            over the image.
    """
    syntax, shape = _layout(grammar)
    trace = _Trace.of(decoded, grammar.vocabulary)
    names = [label.encode() for label in labels]
    of_units = _of_runs if syntax.has_counts else _of_cells
    table = of_units(trace, names, syntax, shape)
    # Units come in the order of the text; the grid may be transposed.
    lines = syntax.line_shape(shape)
    by_line = table.reshape(len(names), lines.rows, lines.cols)
    return np.ascontiguousarray(syntax.from_lines(by_line)).astype(np.float32)


def _layout(grammar: CompiledGrammar) -> tuple[Syntax, GridShape]:
    """The format's syntax and the grid of a grammar's texts."""
    syntax, shape = grammar.syntax, grammar.shape
    if syntax is None or shape is None or not syntax.covers_image:
        raise InputError("only text whose cells are those of the image has cell probabilities")
    return syntax, shape


class _Outcomes(Protocol):
    """What may be written at a place: labels, or counts."""

    size: int

    def fitting(self, begun: bytes) -> Int[np.ndarray, " outcomes"]:
        """The outcomes whose text begins with `begun`, or that `begun` has gone past."""
        ...


class _Labels:
    """Labels, each with the bytes that close it."""

    def __init__(self, names: Sequence[bytes], close: bytes) -> None:
        self.size = len(names)
        self._wholes = [name + close for name in names]
        self.fitting: Callable[[bytes], Int[np.ndarray, " outcomes"]] = lru_cache(4096)(self._fit)

    def _fit(self, begun: bytes) -> Int[np.ndarray, " outcomes"]:
        pairs = enumerate(self._wholes)
        fit = [at for at, whole in pairs if whole.startswith(begun) or begun.startswith(whole)]
        return np.array(fit, dtype=np.int64)


class _Counts:
    """Counts from 1 to `most`; outcome k stands for k + 1."""

    def __init__(self, most: int) -> None:
        self.size = most

    def fitting(self, begun: bytes) -> Int[np.ndarray, " outcomes"]:
        """All counts that begin with these digits; one, if something follows the digits."""
        digits = begun[: len(begun) - len(begun.lstrip(b"0123456789"))]
        if not digits:
            return np.arange(self.size if not begun else 0)
        number = int(digits)
        if len(digits) < len(begun) or number == 0:
            return np.arange(number - 1, min(number, self.size)) if number else np.arange(0)
        lows = [number * 10**k for k in range(len(str(self.size)) - len(digits) + 1)]
        spans = [np.arange(low - 1, min(low + 10**k - 1, self.size)) for k, low in enumerate(lows)]
        return np.concatenate(spans)


@dataclass(frozen=True, slots=True)
class _Trace:
    """The text, and where in it which alternatives stood with which shares."""

    text: bytes
    places: list[int]
    choices: list[list[tuple[bytes, float, bool]]]
    longest: int

    @classmethod
    def of(cls, decoded: DecodingResult, vocabulary: Vocabulary) -> _Trace:
        """Token ids as bytes."""
        tokens = vocabulary.tokens
        ends = np.cumsum([0, *(len(tokens[token]) for token in decoded.tokens)]).tolist()
        places, choices = [], []
        for decision in decoded.decisions:
            # A choice of the end token writes no text.
            if decision.index >= len(decoded.tokens):
                continue
            written = decoded.tokens[decision.index]
            shares = np.exp(decision.log_probabilities.astype(np.float64)).tolist()
            pairs = zip(decision.tokens.tolist(), shares, strict=True)
            places.append(ends[decision.index])
            choices.append([(tokens[token], share, token == written) for token, share in pairs])
        longest = max((len(text) for choice in choices for text, _, _ in choice), default=0)
        return cls(vocabulary.decode(decoded.tokens), places, choices, longest)

    def readings(self, start: int) -> Iterator[list[tuple[bytes, float, bool]]]:
        """What the alternatives of each choice would write from byte `start` on.

        Only alternatives that leave the text before `start` as it is: with their share among
        these, and whether they are the one written.
        """
        # A token that was chosen before `start` may reach into it, at most by the longest token.
        for index in range(bisect_right(self.places, start - self.longest), len(self.places)):
            place = self.places[index]
            kept = []
            for text, share, written in self.choices[index]:
                if place >= start:
                    kept.append((self.text[start:place] + text, share, written))
                elif written or (
                    len(text) > start - place and self.text.startswith(text[: start - place], place)
                ):
                    kept.append((text[start - place :], share, written))
            # Renormalize among the alternatives that keep the text before `start`.
            total = sum(share for _, share, _ in kept)
            yield [
                (text, share / total if total else 0.0, written) for text, share, written in kept
            ]

    def distribution(
        self, start: int, outcomes: _Outcomes, taken: int
    ) -> Float64[np.ndarray, " outcomes"]:
        """The probability of each outcome at byte `start`; `taken` is what stands there."""
        told = np.zeros(outcomes.size)
        unclear: list[tuple[float, Int[np.ndarray, " outcomes"]]] = []
        # The probability of the tokens written so far, from `start` on.
        path = 1.0
        for reading in self.readings(start):
            onward = 0.0
            for text, share, written in reading:
                fitting = outcomes.fitting(text)
                # One outcome: its share is certain. Several: the token is only their beginning.
                if len(fitting) == 1:
                    told[fitting] += path * share
                elif written:
                    onward = path * share
                elif len(fitting):
                    unclear.append((path * share, fitting))
            path = onward
            if path == 0.0:
                break
        told[taken] += path
        # Unclear shares are distributed as the clear ones are, or evenly where none is clear.
        shares = told.copy()
        for mass, fitting in unclear:
            known = told[fitting]
            even = np.full(len(fitting), 1.0 / len(fitting))
            shares[fitting] += mass * (known / known.sum() if known.any() else even)
        shares /= shares.sum()
        return shares


def _of_cells(
    trace: _Trace, names: Sequence[bytes], syntax: Syntax, shape: GridShape
) -> Float64[np.ndarray, "labels cells"]:
    """Text without run lengths, cell by cell."""
    table = np.zeros((len(names), shape.cells))
    outcomes: dict[bytes, _Labels] = {}
    for cell, unit in enumerate(syntax.units(trace.text, shape)):
        labels = outcomes.setdefault(unit.closing, _Labels(names, unit.closing))
        taken = _index(names, trace.text[unit.start : unit.label_end])
        table[:, cell] = trace.distribution(unit.start, labels, taken)
    return table


def _of_runs(
    trace: _Trace, names: Sequence[bytes], syntax: Syntax, shape: GridShape
) -> Float64[np.ndarray, "labels cells"]:
    """Runs, each stretch that they fill together by itself."""
    width = syntax.run_width(shape)
    table = np.zeros((shape.cells // width, len(names), width))
    for line, units in groupby(syntax.units(trace.text, shape), lambda unit: unit.line):
        # P(no earlier run covers the cell).
        open_cells, label = np.ones(width), 0
        for unit in units:
            label = _index(names, trace.text[unit.start : unit.label_end])
            shares = trace.distribution(unit.start, _Labels(names, unit.closing), label)
            lengths = trace.distribution(
                unit.count_start or 0, _Counts(width - unit.first), unit.length - 1
            )
            # P(this run reaches the cell) = 1 - P(it ends before).
            reach = np.ones(width)
            reach[unit.first :] = 1.0 - np.concatenate([[0.0], np.cumsum(lengths[:-1])])
            _lay(table[line], open_cells * reach, shares, label, unit.first)
            open_cells *= np.clip(1.0 - reach, 0.0, 1.0)
        # No run of the text reaches here: another would have followed, of another label.
        rest = np.arange(len(names)) != label
        table[line][rest] += open_cells / max(1, rest.sum())
    return np.moveaxis(table, 0, 1).reshape(len(names), -1)


def _lay(
    row: Float64[np.ndarray, "labels width"],
    cover: Float64[np.ndarray, " width"],
    shares: Float64[np.ndarray, " labels"],
    label: int,
    start: int,
) -> None:
    """Add a run that covers each cell with probability `cover`, whatever its label, in place."""
    # A label that was not chosen would have had some other count: assumed uniform over the rest.
    width = len(cover)
    fading = np.clip(1.0 - (np.arange(width) - start) / (width - start), 0.0, 1.0)
    spread = shares[:, None] * fading
    spread[label] = 0.0
    spread[label] = 1.0 - spread.sum(axis=0)
    row += cover * spread


def _index(names: Sequence[bytes], name: bytes) -> int:
    if name not in names:
        known = b", ".join(names).decode(errors="replace")
        raise InputError(f"the text holds the label {name.decode(errors='replace')!r}, not {known}")
    return names.index(name)


def no_target_probability(
    decoded: DecodingResult, grammar: CompiledGrammar, labels: Sequence[str]
) -> float:
    """How probable it was that the text would mark nothing, every cell being `others`.

    Exact where the text marks nothing: the product of its choices' shares. Where it marks
    something, it is the probability of background up to the first run or cell that was marked,
    this one included; what would have followed is not known, so it is an upper bound (and tight
    where the model is sure of the rest of an empty mask). With run lengths, the first line that is
    marked counts as a whole: one run of `others` to its end.

    Args:
        decoded: A complete text.
        grammar: The grammar that it was written under.
        labels: Every label that the text uses, `others` among them.

    Returns:
        A probability.

    Raises:
        InputError: As for `cell_probabilities`.
    """
    syntax, shape = _layout(grammar)
    trace = _Trace.of(decoded, grammar.vocabulary)
    names = [label.encode() for label in labels]
    background, width = _index(names, OTHERS.encode()), syntax.run_width(shape)
    probability = 1.0
    for unit in syntax.units(trace.text, shape):
        label = _index(names, trace.text[unit.start : unit.label_end])
        outcomes = _Labels(names, unit.closing)
        probability *= float(trace.distribution(unit.start, outcomes, label)[background])
        # What would have followed an empty beginning is not known.
        if label != background:
            break
        if unit.count_start is not None:
            lengths = trace.distribution(unit.count_start, _Counts(width), unit.length - 1)
            probability *= float(lengths[-1])
            # The line goes on with another label.
            if unit.length < width:
                break
    return probability
