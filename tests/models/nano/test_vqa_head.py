"""The head names what is there, things first, and grows with the names of the fusion."""

from __future__ import annotations

import torch

from tests.reference.small_nano import small_config
from text4seg.models.nano.text.question_types import QUESTION_TYPES
from text4seg.models.nano.vqa_evidence import evidence_width
from text4seg.models.nano.vqa_head import SLOTS, NameScores, VqaHead, choose_names


def test_names_come_things_first_the_largest_first_and_at_least_one() -> None:
    names = ["cat", "dog", "cup", "wall"]
    named = NameScores(
        torch.tensor([[1.0, -1.0, 2.0, 3.0]]),
        torch.tensor([[0.1, 0.9, 0.5, 0.8]]),
        torch.tensor([True, True, True, False]),
    )
    assert choose_names(named, names) == ["cup", "cat", "wall"]
    assert choose_names(named, names, most=1) == ["cup"]
    nothing = named._replace(logits=torch.tensor([[-3.0, -1.0, -2.0, -4.0]]))
    assert choose_names(nothing, names) == ["dog"]


def test_names_are_added_behind_the_known_ones() -> None:
    reader = VqaHead(small_config(), 8)
    reader.add_names(["zebra", "widget"])
    assert reader.detected.tolist()[-2:] == [22, -1]
    assert reader.name_offset.shape == (5,)


def test_each_type_of_question_is_given_vectors_of_its_own() -> None:
    torch.manual_seed(0)
    config = small_config()
    head = VqaHead(config, 8).eval()
    evidence = torch.randn(1, evidence_width(config)).expand(len(QUESTION_TYPES), -1)
    slots = head(evidence, torch.arange(len(QUESTION_TYPES)))
    assert slots.shape == (len(QUESTION_TYPES), SLOTS, 8)
    assert len(slots.flatten(1).unique(dim=0)) == len(QUESTION_TYPES)
