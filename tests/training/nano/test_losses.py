"""Losses reward what they should, and look only where they may."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from text4seg.training.nano.losses import box_loss, names_loss, target_loss


def cells(*filled: int) -> Tensor:
    found = torch.zeros(1, 256)
    found[0, list(filled)] = 1
    return found


def certain(cells: Tensor, by: float = 20.0) -> Tensor:
    return (cells * 2 - 1) * by


def test_to_be_right_costs_nothing_and_to_be_wrong_costs_a_lot() -> None:
    for truth in (cells(), cells(3), cells(*range(100))):
        assert float(target_loss(certain(truth), truth)) == pytest.approx(0.0, abs=1e-3)
        assert float(target_loss(certain(1 - truth), truth)) > 20


def plain_target_loss(logits: np.ndarray, truth: np.ndarray) -> float:
    """FineTuneQuestion by question, in numpy."""
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    entropy = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()
    dice, presence = [], []
    for one, filled, share in zip(logits, truth, p, strict=True):
        there = float(filled.any())
        overlap = (2 * (share * filled).sum() + 1) / (share.sum() + filled.sum() + 1)
        dice.append((1 - overlap) * there)
        most = 1 / (1 + np.exp(-float(one.max())))
        presence.append(-np.log(most if there else 1 - most))
    return float(4 * entropy + np.mean(dice) + 0.35 * np.mean(presence))


def test_the_target_loss_is_its_formula() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (5, 256)).astype(np.float32)
    truth = (random.random((5, 256)) < 0.2).astype(np.float32)
    truth[3] = 0
    found = float(target_loss(torch.from_numpy(logits), torch.from_numpy(truth)))
    assert found == pytest.approx(plain_target_loss(logits, truth), rel=1e-4)


def test_a_small_thing_that_is_missed_weighs_as_much_as_a_large_one() -> None:
    """Of the overlap, that is: cross-entropy alone would hardly notice it."""
    small, large = cells(5), cells(*range(128))
    nothing = torch.full((1, 256), -4.0)

    def dice(truth: Tensor) -> float:
        probability = nothing.sigmoid()
        inside = (probability * truth).sum(1)
        return float(1 - (2 * inside + 1) / (probability.sum(1) + truth.sum(1) + 1))

    costs = [float(target_loss(nothing, truth)) for truth in (small, large)]
    assert dice(small) > 0.6
    assert costs[0] > dice(small)
    assert costs[1] > costs[0]


def names(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    annotated = torch.tensor([[True, False, True], [False, True, False]])
    return torch.randn(2, 256, 3), torch.rand(2, 256, 3), annotated


def test_names_that_were_not_annotated_do_not_count() -> None:
    logits, coverage, annotated = names()
    logits.requires_grad_(True)
    names_loss(logits, coverage, annotated).backward()
    assert logits.grad is not None
    reached = logits.grad.abs().sum(dim=1) > 0
    assert torch.equal(reached, annotated)


def test_the_names_loss_is_its_formula() -> None:
    logits, coverage, annotated = names(1)
    p = logits.double().sigmoid()
    entropy = -(coverage * p.log() + (1 - coverage) * (1 - p).log())
    total = sum(
        float((entropy[b, :, n] * (1 + 4 * coverage[b, :, n])).sum())
        for b in range(2)
        for n in range(3)
        if annotated[b, n]
    )
    found = float(names_loss(logits, coverage, annotated))
    assert found == pytest.approx(total / (3 * 256), rel=1e-5)


def test_where_nothing_was_annotated_nothing_is_lost() -> None:
    logits, coverage, annotated = names()
    assert float(names_loss(logits, coverage, torch.zeros_like(annotated))) == 0.0


def test_a_box_is_meant_that_the_target_fills() -> None:
    """Left box: filled; right one: not; one in between and one that is none: not looked at."""
    truth = torch.zeros(1, 16, 16)
    truth[0, :, :8] = 1
    boxes = torch.tensor([[[0, 0.9, 0, 0, 0.5, 1], [0, 0.9, 0.5, 0, 1, 1], [0, 0.9, 0.35, 0, 1, 1],
                           [0, 0.0, 0, 0, 0, 0]]])  # fmt: skip
    right = torch.tensor([[9.0, -9.0, 0.0, 0.0]])
    assert float(box_loss(right, boxes, truth.flatten(1))) < 0.01
    assert float(box_loss(-right, boxes, truth.flatten(1))) > 5
    for column in (2, 3):
        other = right.clone()
        other[0, column] = 9.0
        assert torch.equal(
            box_loss(other, boxes, truth.flatten(1)), box_loss(right, boxes, truth.flatten(1))
        )
    assert float(box_loss(right, boxes * 0, truth.flatten(1))) == 0, "no box at all"
