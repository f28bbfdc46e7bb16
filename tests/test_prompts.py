"""The wording: one place, and the grid named where it is not the usual one."""

from __future__ import annotations

import hashlib

from text4seg import prompts
from text4seg.core.types import GridShape


def test_the_usual_grid_is_not_named() -> None:
    assert prompts.question("the dog") == "Segment the dog in this image."
    assert prompts.question("the dog", grid=GridShape(16, 16)) == prompts.question("the dog")
    again = prompts.question("the dog", index=len(prompts.QUESTIONS))
    assert again == prompts.question("the dog")


def test_other_grids_are_told_apart() -> None:
    shapes = [GridShape(16, 64), GridShape(64, 16), GridShape(24, 24), GridShape(16, 16)]
    asked = [prompts.question("the dog", grid=shape) for shape in shapes]
    assert asked[0] == ("Segment the dog in this image. Use a grid of 16 rows and 64 columns.")
    assert len(set(asked)) == len(shapes)


def test_the_wordings_that_models_were_trained_on_stay() -> None:
    """A changed word is a question that a trained model has never seen."""
    wordings = (
        *prompts.QUESTIONS, *prompts.EVERYTHING, *prompts.SEVERAL, *prompts.PARTS, *prompts.PART,
        prompts.ANSWER_PREFIX,
    )  # fmt: skip
    digest = hashlib.sha256("\n".join(wordings).encode()).hexdigest()
    assert digest == "768b192fe284b8b4b73b164fce768c0e61c86b8922605bebddff9c7521e46ce7"
