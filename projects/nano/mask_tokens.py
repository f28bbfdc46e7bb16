"""Masks as tokens to train on, sometimes behind a wrong history.

A model that has only read true histories does not recover from its own first mistake (exposure
bias). So part of the samples have a wrong history, another mask before the cell, and the true next
cell as their target.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from text4seg.models.nano.text.tokens import PromptTokenizer

OTHERS = "others"


@dataclass(frozen=True, slots=True)
class MaskTokens:
    """The tokens of a mask's body.

    Attributes:
        tokens: What the history shows.
        targets: What each token should have been.
        decides: Whether the token is a choice that is scored.
        whole: Whether the body has its end.
    """

    tokens: list[int]
    targets: list[int]
    decides: list[bool]
    whole: bool = True

    def cut(self, longest: int) -> MaskTokens:
        """Cut the body to a number of tokens."""
        if len(self.tokens) <= longest:
            return self
        return MaskTokens(
            self.tokens[:longest], self.targets[:longest], self.decides[:longest], whole=False
        )


class MaskTokenizer:
    """Makes the tokens of masks, exactly as the codec's text is tokenized (a test compares)."""

    def __init__(self, text: PromptTokenizer) -> None:
        self._text = text
        self.bar, self.newline = text.encode("|")[0], text.encode("\n")[0]
        self.star = text.encode("x *")[-1]
        self.digits = [text.encode(str(digit))[-1] for digit in range(10)]

    def words(self, label: str) -> dict[tuple[bool, bool], list[int]]:
        """Tokenize the words of a mask by (is target, is first in the body).

        All but the first word of a body are preceded by a space, which changes their tokens.
        """
        return {
            (target, first): self._text.encode(
                ("" if first else " ") + (label if target else OTHERS)
            )
            for target in (False, True)
            for first in (False, True)
        }

    def choices(self, label: str) -> list[int]:
        """List every token that can be a choice in a mask of this label.

        First come the beginnings of the words: others, label, and both at the start of the body.
        """
        words = self.words(label)
        firsts = [
            words[key][0] for key in ((False, False), (True, False), (False, True), (True, True))
        ]
        return [
            *firsts,
            self.bar,
            self.newline,
            self.star,
            *self.digits,
            self._text.encode("</seg>")[0],
        ]

    def flat(
        self, truth: Bool[np.ndarray, "r c"], history: Bool[np.ndarray, "r c"], label: str
    ) -> MaskTokens:
        """Make flat text (`sd`), in which the first token of every cell's word is a choice."""
        words, cols = self.words(label), truth.shape[1]
        tokens, targets, decides = [], [], []
        for index, (shown, true) in enumerate(zip(history.flat, truth.flat, strict=True)):
            first = index == 0
            written = words[bool(shown), first]
            end = self.newline if index % cols == cols - 1 else self.bar
            tokens += [*written, end]
            targets += [words[bool(true), first][0], *written[1:], end]
            decides += [True] + [False] * len(written)
        return MaskTokens(tokens, targets, decides)

    def runs(
        self, truth: Bool[np.ndarray, "r c"], history: Bool[np.ndarray, "r c"], label: str
    ) -> MaskTokens:
        """Make text in runs (`rrle`), in which the first word of a row and every count are choices.

        Behind a wrong history the target is the count that returns to the truth soonest
        (`choose_length`).
        """
        words, (rows, cols) = self.words(label), truth.shape
        tokens, targets, decides = [], [], []
        for row in range(rows):
            edges = np.flatnonzero(np.diff(history[row])) + 1
            bounds = [0, *edges.tolist(), cols]
            for start, stop in pairwise(bounds):
                first = row == 0 and start == 0
                written = words[bool(history[row, start]), first]
                true = words[bool(truth[row, start]), first]
                length = choose_length(truth[row], start, named=bool(history[row, start]))
                count = self._count(stop - start, cols - start)
                tokens += [*written, self.star, *count]
                targets += [true[0] if start == 0 else written[0], *written[1:], self.star]
                decides += [start == 0] + [False] * len(written)
                wanted = self._count(length, cols - start)
                agree = True
                for place, token in enumerate(count):
                    # Behind a digit that is wrong already, no other is right.
                    agree = agree and (place == 0 or count[place - 1] == wanted[place - 1])
                    targets.append(wanted[place] if agree else token)
                    # That a row ends where its cells are all written is no choice.
                    decides.append(agree and token != self.newline)
        return MaskTokens(tokens, targets, decides)

    def _count(self, length: int, room: int) -> list[int]:
        """Tokenize a run length and what ends it; `room` cells are left in the row."""
        end = self.newline if length == room else self.bar
        return [*(self.digits[int(digit)] for digit in str(length)), end]


def choose_length(row: Bool[np.ndarray, " c"], start: int, *, named: bool) -> int:
    """Choose the best run length at a cell of a row.

    The label that was written is the target (`named`) or others. The model's own digits follow the
    same rule (`models.nano.run_digits.choose_lengths`).
    """
    change = np.flatnonzero(np.diff(row[start:]))
    length = int(change[0]) + 1 if len(change) else len(row) - start
    if bool(row[start]) == named:
        return length
    if length > 1 or start + 1 == len(row):
        return 1
    return 1 + choose_length(row, start + 1, named=named)


def corrupt_history(
    truth: Bool[np.ndarray, "r c"], guess: Float[np.ndarray, "r c"], random: np.random.Generator
) -> Bool[np.ndarray, "r c"]:
    """Make a mask that the model itself might have written by mistake.

    Args:
        truth: The true mask.
        guess: Target logits of the cells.
        random: Source of randomness.

    Returns:
        The guess at some threshold, the truth with nothing up to some cell, shifted, or with
        specks.
    """
    draw = random.random()
    if draw < 0.4:
        return np.asarray(guess > random.uniform(-2.5, 1.0))
    wrong = truth.copy()
    if draw < 0.65:
        wrong.flat[: random.integers(1, wrong.size + 1)] = False
    elif draw < 0.85:
        wrong = np.roll(wrong, random.integers(-2, 3, 2), axis=(0, 1))
    else:
        # As many a row on any grid, or the text of fine grids would become too long.
        wrong ^= random.random(wrong.shape) < 1.6 / wrong.shape[1]
    return wrong


def draw_shape(random: np.random.Generator) -> Bool[np.ndarray, "16 16"]:
    """Draw a shape: a few ellipses, boxes or slanted bands, sometimes nothing."""
    y, x = np.mgrid[0:16, 0:16] + 0.5
    mask = np.zeros((16, 16), dtype=bool)
    if random.random() < 0.08:
        return mask
    for _ in range(random.integers(1, 4)):
        center_y, center_x = random.uniform(0, 16, 2)
        half_y, half_x = random.uniform(0.6, 7, 2)
        kind = random.random()
        u, v = (y - center_y) / half_y, (x - center_x) / half_x
        if kind < 0.5:
            mask |= u**2 + v**2 < 1
        elif kind < 0.8:
            mask |= np.maximum(abs(u), abs(v)) < 1
        else:
            mask |= abs(u * random.uniform(-2, 2) + v) < 0.4
    return mask
