"""The wording of questions and answers, shared by training and inference.

A question names an expression. An answer is one sentence that ends in a colon, a new line and
`<seg>`, then the mask as text, then `</seg>`. The first question is the default; the others are
there so that a model in training does not depend on one wording.
"""

from __future__ import annotations

from collections.abc import Sequence

from text4seg.codec.answer import SEG_CLOSE, SEG_OPEN
from text4seg.core.types import GridShape

# Models are trained on these words: a change would change what a trained model is asked.
QUESTIONS: tuple[str, ...] = (
    "Segment {expression} in this image.",
    "Where is {expression}? Answer with a mask.",
    "Please write the mask of {expression}.",
    "Show which part of the photo is {expression}.",
    "Can you segment {expression}?",
)
DEFAULT_QUESTION = QUESTIONS[0]
ANSWER_SENTENCE = "Here is the mask:"
# What stands before the mask in every answer; a decoder starts right after it.
ANSWER_PREFIX = f"{ANSWER_SENTENCE}\n{SEG_OPEN}"


PLAIN_GRID = GridShape(16, 16)
"""The grid that questions need not name."""


def on_grid(question: str, grid: GridShape) -> str:
    """Add the grid of the answer to a question, so that one model can serve several grids."""
    if grid == PLAIN_GRID:
        return question
    return f"{question} Use a grid of {grid.rows} rows and {grid.cols} columns."


def question(expression: str, *, index: int = 0, grid: GridShape = PLAIN_GRID) -> str:
    """Word a question about one expression.

    Args:
        expression: The words that are asked for.
        index: The number of the wording, counted around.
        grid: The grid of the answer; any but 16x16 is named in the question.

    Returns:
        The user's text.
    """
    return on_grid(QUESTIONS[index % len(QUESTIONS)].format(expression=expression), grid)


def answer(body: str) -> str:
    """Make the whole answer around a mask.

    Args:
        body: The mask as text, as a format writes it.

    Returns:
        The assistant's text.
    """
    return f"{ANSWER_PREFIX}{body}{SEG_CLOSE}"


EVERYTHING: tuple[str, ...] = (
    "Segment everything in this image.",
    "Please name and segment all that can be seen.",
    "Write a mask with every thing and every surface of the photo.",
    "What is where in this image? Answer with a mask.",
)
"""Questions for all that an image shows."""

SEVERAL: tuple[str, ...] = (
    "Segment these in this image: {names}.",
    "Which parts of the photo are {names}? Answer with one mask.",
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
    """Word a question for several names at once, in its first wording."""
    return on_grid(SEVERAL[0].format(names="|".join(names)), grid)
