"""A new name starts from the known row that predicts its masks best, or better by descent."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("trl")

from text4seg.training.nano.finetune_data import FineTuneData, FineTuneQuestion
from text4seg.training.nano.name_init import NameInit, init_names

KNOWN = ["cat", "dog"]
WIDTH = 8


class LinearFusion(nn.Module):
    """A fusion whose states are its features: only what `init_names` needs of one."""

    def __init__(self, names: int) -> None:
        super().__init__()
        self.name_head = nn.Sequential(nn.Identity(), nn.Linear(WIDTH, names))
        nn.init.zeros_(self.name_head[1].weight)
        nn.init.constant_(self.name_head[1].bias, -4.0)

    def encode_image(self, features: Tensor) -> SimpleNamespace:
        return SimpleNamespace(names=self.name_head(features))


def questions_about(expression: str, channel: int, *, images: int = 8) -> FineTuneData:
    """What is asked for is where a channel of the features is above zero."""
    features = torch.randn(images, 256, WIDTH, generator=torch.Generator().manual_seed(3))
    questions = [
        FineTuneQuestion(
            image,
            f"Where is {expression}?",
            expression,
            (features[image, :, channel] > 0).float().reshape(16, 16),
            f"line {image}",
        )
        for image in range(images)
    ]
    return FineTuneData(questions, features, [*KNOWN, "zorble"])


def test_a_name_starts_from_the_known_one_that_predicts_its_masks() -> None:
    fusion = LinearFusion(3)
    with torch.no_grad():
        fusion.name_head[1].weight[1, 5] = 30.0  # the dog is where channel 5 is above zero
        fusion.name_head[1].bias[1] = 0.0
    before = fusion.name_head[1].weight.detach().clone()
    (found,) = init_names(fusion, questions_about("the zorble", 5), ["zorble"])  # type: ignore[arg-type]
    assert (found.name, found.known) == ("zorble", "dog")
    after = fusion.name_head[1].weight
    torch.testing.assert_close(after[:2], before[:2])
    torch.testing.assert_close(after[2, 5], before[1, 5], atol=1.0, rtol=0)


def test_a_name_like_no_other_is_found_by_descent() -> None:
    fusion, given = LinearFusion(3), questions_about("the zorble", 2)
    (found,) = init_names(fusion, given, ["zorble"])  # type: ignore[arg-type]
    assert found.steps > 0
    row = fusion.name_head[1].weight[2]
    assert row.abs().argmax() == 2
    assert row[2] > 0
    torch.testing.assert_close(fusion.name_head[1].weight[:2], torch.zeros(2, WIDTH))


def test_masks_without_sense_leave_the_row_that_was_best() -> None:
    fusion, given = LinearFusion(3), questions_about("the zorble", 2)
    noise = torch.Generator().manual_seed(9)
    given.features = torch.randn(given.features.shape, generator=noise)
    with torch.no_grad():
        # As often as it is true, where a cell of the thing weighs as five.
        fusion.name_head[1].bias[1] = math.log(5)
    (found,) = init_names(fusion, given, ["zorble"])  # type: ignore[arg-type]
    assert found == NameInit("zorble", "dog", found.steps)
    assert found.steps <= 20
    assert fusion.name_head[1].weight[2].abs().max() < 0.3


def test_without_new_names_or_with_one_image_nothing_breaks() -> None:
    fusion = LinearFusion(3)
    assert init_names(fusion, questions_about("the zorble", 2), []) == []  # type: ignore[arg-type]
    (found,) = init_names(fusion, questions_about("the zorble", 2, images=1), ["zorble"])  # type: ignore[arg-type]
    assert found.steps == 0  # nothing to hold back


def test_images_are_spread() -> None:
    given = questions_about("the zorble", 2, images=10)
    assert given.images_of(5) == [0, 2, 4, 6, 8]
    assert given.images_of(99) == list(range(10))
