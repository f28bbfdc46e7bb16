"""Steps keep cache and cell tracker in line, alone and in a batch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference.small_nano import SmallParts, small_features, small_model
from text4seg.core.errors import InputError
from text4seg.models.interface import PreparedPrompt
from text4seg.models.nano.nano_model import NanoModel, NanoSession
from text4seg.models.nano.stepping import NanoStep
from text4seg.models.nano.text.cell_tracker import OUTSIDE_MASK
from text4seg.prompts import ANSWER_PREFIX, question


@pytest.fixture(scope="module")
def small() -> NanoModel:
    return NanoModel(small_model(4), SmallParts())  # type: ignore[arg-type]


def step_of(small: NanoModel, grid: tuple[int, int] = (4, 5), seed: int = 1) -> NanoStep:
    session = NanoSession(small, small_features(seed)[0])
    step = session.prepare(question("dog"), ANSWER_PREFIX, grid=grid).step
    assert isinstance(step, NanoStep)
    return step


def test_pointers_follow_the_text_and_its_rollback(small: NanoModel) -> None:
    step, bar = step_of(small), small.text.encode("others|")
    assert [one.cell for one in step.track(bar)][-1] == 1
    step.untrack(len(bar))
    assert [one.cell for one in step.track(bar)][-1] == 1
    assert step.track(small.text.encode("</seg>"))[-1] == OUTSIDE_MASK


def test_log_odds_have_the_shape_of_the_grid(small: NanoModel) -> None:
    assert step_of(small, (3, 7)).odds.shape == (3, 7)


def test_a_batch_gives_the_logits_of_its_questions(small: NanoModel) -> None:
    """Also after a draft of one of them was dropped."""
    tokens = small.text.encode("others| dog|")
    session = NanoSession(small, small_features(1)[0])

    def ask() -> list[PreparedPrompt]:
        names = ("dog", "hot dog")
        return [session.prepare(question(one), ANSWER_PREFIX, grid=(4, 5)) for one in names]

    batch = small.batch(ask())
    batch({0: tokens, 1: tokens[:1]})
    batch.rollback(0, len(tokens) - 1)
    rows = batch({0: tokens[1:], 1: tokens[1:]})
    for number, one in enumerate(ask()):
        alone = one.step(tokens)
        assert np.allclose(np.asarray(rows[number][-1]), np.asarray(alone[-1]), atol=1e-3)


def test_questions_of_two_grids_share_no_passes(small: NanoModel) -> None:
    session = NanoSession(small, small_features()[0])
    asked = [
        session.prepare(question("dog"), ANSWER_PREFIX, grid=grid) for grid in ((4, 4), (4, 5))
    ]
    with pytest.raises(InputError, match="one grid"):
        small.batch(asked)
