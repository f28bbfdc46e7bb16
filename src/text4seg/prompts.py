"""The only wording of questions and answers, shared by training and inference.

A question names an expression; an answer is one sentence that ends in a colon, a new line and
`<seg>`, then the mask as text, then `</seg>`. The first question is the default one; the others are
there so that a model in training does not depend on a single wording.
"""

from __future__ import annotations

from collections.abc import Sequence

from text4seg.codec.answer import SEG_CLOSE, SEG_OPEN
from text4seg.core.types import GridShape

QUESTIONS: tuple[str, ...] = (
    "Segment {expression} in this image.",
    "Where is {expression}? Answer with a mask.",
    "Please write the mask of {expression}.",
    "Show which part of the image is {expression}.",
    "Can you segment {expression}?",
)
DEFAULT_QUESTION = QUESTIONS[0]
ANSWER_SENTENCE = "Here is the mask:"
# What stands before the mask in every answer; a decoder starts right after it.
ANSWER_PREFIX = f"{ANSWER_SENTENCE}\n{SEG_OPEN}"


PLAIN_GRID = GridShape(16, 16)
"""The grid that questions need not name."""


def on_grid(question: str, grid: GridShape) -> str:
    """A question that tells the grid of its answer, so that one model can serve several."""
    if grid == PLAIN_GRID:
        return question
    return f"{question} Use a grid of {grid.rows} rows and {grid.cols} columns."


def question(expression: str, *, index: int = 0, grid: GridShape = PLAIN_GRID) -> str:
    """The question in its `index`-th wording, counted around; any grid but 16x16 is named."""
    return on_grid(QUESTIONS[index % len(QUESTIONS)].format(expression=expression), grid)


def answer(body: str) -> str:
    """The whole answer around a mask written as text (`body`, as a format encodes it)."""
    return f"{ANSWER_PREFIX}{body}{SEG_CLOSE}"


EVERYTHING: tuple[str, ...] = (
    "Segment everything in this image.",
    "Please name and segment all that can be seen.",
    "Write a mask with every thing and every surface of the image.",
    "What is where in this image? Answer with a mask.",
)
"""Questions for all that an image shows."""

SEVERAL: tuple[str, ...] = (
    "Segment these in this image: {names}.",
    "Which parts of the image are {names}? Answer with one mask.",
    "Please write one mask of {names}, as far as they are there.",
    "Find {names} and segment what you find.",
)
"""Questions for a list of names, joined by `|`; some of them may be absent."""

PARTS: tuple[str, ...] = (
    "Segment the parts of the {name}.",
    "Divide the {name} into its parts. Answer with a mask.",
    "Please write a mask of the {name}, part by part.",
)
"""Questions for a thing divided into its parts."""

PART: tuple[str, ...] = (
    "Segment the {name}.",
    "Where is the {name}? Answer with a mask.",
    "Please write the mask of the {name}.",
)
"""Questions for one part of a thing; the name holds both: `wheel of the car`."""


def several(names: Sequence[str], *, grid: GridShape = PLAIN_GRID) -> str:
    """The question for several names at once, in its first wording."""
    return on_grid(SEVERAL[0].format(names="|".join(names)), grid)
