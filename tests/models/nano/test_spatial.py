"""Places and relations are looked up among boxes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.reference.small_nano import DETECTOR, HIDDEN, NAMES, VISUAL, small_config
from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.encoders.colors import COLORS
from text4seg.models.nano.fusion import Fusion
from text4seg.models.nano.matching import Phrases
from text4seg.models.nano.spatial import center_of, count_beyond, cover_cells, relate
from text4seg.models.nano.text.attributes import RELATIONS, SIDES, read_attributes, stack_attributes

WIDTH = 8
# Three dogs: left and small, middle and large, right and high.
BOXES = torch.tensor([[[0.05, 0.5, 0.15, 0.6], [0.3, 0.4, 0.6, 0.9], [0.75, 0.1, 0.95, 0.3]]])


def test_a_box_covers_its_cells() -> None:
    cover = cover_cells(torch.tensor([[[0.25, 0.0, 0.75, 0.375]]]), 4).view(4, 4)
    assert cover.tolist() == [[0, 1, 1, 0], [0, 0.5, 0.5, 0], [0] * 4, [0] * 4]
    assert not cover_cells(torch.zeros(1, 1, 4), 4).any()


@pytest.mark.parametrize(
    ("side", "order"),
    [
        ("left", [0, 1, 2]), ("right", [2, 1, 0]), ("top", [2, 0, 1]), ("bottom", [1, 0, 2]),
        ("big", [1, 2, 0]), ("small", [0, 2, 1]),
    ],
)  # fmt: skip
def test_each_thing_knows_how_many_are_beyond_it(side: str, order: list[int]) -> None:
    counts = count_beyond(BOXES, torch.ones(1, 3))[0, :, SIDES.index(side)]
    assert counts[order].tolist() == pytest.approx([0, 1, 2], abs=0.06)


def test_only_things_that_count_are_counted() -> None:
    counts = count_beyond(BOXES, torch.tensor([[0.0, 1.0, 1.0]]))[0, :, SIDES.index("left")]
    assert counts.tolist() == pytest.approx([0, 0, 1], abs=0.06)


@pytest.mark.parametrize(
    ("relation", "there"),
    [("left", 0), ("right", 2), ("above", 2), ("near", 1)],
)
def test_a_relation_is_to_the_landmark(relation: str, there: int) -> None:
    asked = torch.tensor([[float(relation == one) for one in RELATIONS]])
    points = (BOXES[..., :2] + BOXES[..., 2:]) / 2
    agrees = relate(points, torch.tensor([[0.5, 0.6]]), asked)[0]
    assert int(agrees.argmax()) == there
    assert float(agrees[there]) > 0.7
    assert float(relate(points, torch.tensor([[0.5, 0.6]]), torch.zeros(1, 5)).max()) == 0


def test_the_center_of_what_is_seen() -> None:
    cells = torch.zeros(2, 4, 4)
    cells[0, 1:3, 3] = 0.8
    where, there = center_of(cells.flatten(1), 4)
    assert where[0].tolist() == pytest.approx([0.875, 0.5])
    assert there.tolist() == pytest.approx([0.8, 0.0])
    assert where.isfinite().all()


def terms_config() -> NanoConfig:
    config = small_config()
    config.sentence_width, config.attributes = WIDTH, True
    config.word_lists = [[len(NAMES), 1], [DETECTOR, 1], [1000, 1]]
    return config


def make_fusion() -> Fusion:
    torch.manual_seed(0)
    fusion = Fusion(terms_config(), HIDDEN).eval()
    assert fusion.matching is not None
    assert fusion.spatial is not None
    for words in fusion.matching.lists:
        words.vectors.copy_(torch.nn.functional.normalize(torch.randn_like(words.vectors), dim=-1))
        words.members.copy_(torch.arange(len(words.members))[:, None])
    return fusion


def features() -> Tensor:
    seen = torch.zeros(1, 256 + 32, VISUAL + DETECTOR + len(COLORS))
    seen[:, :256, :VISUAL] = torch.randn(1, 256, VISUAL)
    seen[:, :256, -len(COLORS)] = 1.0
    seen[0, 256:259, :6] = torch.cat([torch.tensor([[16.0, 0.9]] * 3), BOXES[0]], 1)
    return seen


def ask(fusion: Fusion, expression: str) -> tuple[Tensor, Tensor]:
    assert fusion.matching is not None
    dog, cat = fusion.matching.word_lists[1].vectors[16], fusion.matching.word_lists[1].vectors[15]
    told = read_attributes(expression)
    attributes = stack_attributes([told], [cat if told.landmark else None], WIDTH)
    phrases = Phrases(dog[None, None], torch.ones(1, 1, dtype=torch.bool), attributes=attributes)
    words = torch.ones(1, 4, HIDDEN)
    with torch.inference_mode():
        image = fusion.encode_image(features())
        _, logits, boxes = fusion.ground_with_boxes(image, words, words[..., 0] > 0, phrases)
    assert boxes is not None
    return logits, boxes


def test_a_new_part_says_nothing_until_it_is_trained() -> None:
    torch.manual_seed(1)
    fusion = make_fusion()
    assert fusion.spatial is not None
    plain = Fusion(terms_config(), HIDDEN).eval()
    plain.load_state_dict(fusion.state_dict())
    plain.spatial = None
    assert fusion.matching is not None
    dog = fusion.matching.word_lists[1].vectors[16]
    phrases = Phrases(dog[None, None], torch.ones(1, 1, dtype=torch.bool))
    attributes = stack_attributes([read_attributes("the left dog")], [None], WIDTH)
    words, seen = torch.ones(1, 4, HIDDEN), features()
    shown = words[..., 0] > 0
    with torch.inference_mode():
        without = plain.ground(plain.encode_image(seen), words, shown, phrases)[1]
        told = replace(phrases, attributes=attributes)
        found = fusion.ground(fusion.encode_image(seen), words, shown, told)[1]
        cut = plain.ground(
            plain.encode_image(seen[:, :256, : VISUAL + DETECTOR]), words, shown, phrases
        )
    assert torch.allclose(without, found, atol=1e-5)
    assert torch.allclose(without, cut[1], atol=1e-5), "boxes and colors are not read"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the left dog", "the right dog"),
        ("the second dog from the left", "the left dog"),
        ("the black dog", "the red dog"),
        ("the dog left of the cat", "the dog above the cat"),
    ],
)
def test_terms_change_what_is_answered(one: str, other: str) -> None:
    fusion = make_fusion()
    assert fusion.spatial is not None
    for last in (fusion.spatial.channels[-1], fusion.spatial.paint):
        torch.nn.init.normal_(last.weight)  # type: ignore[arg-type]
    torch.manual_seed(2)
    first = ask(fusion, one)
    torch.manual_seed(2)
    assert not torch.allclose(ask(fusion, other)[0], first[0], atol=1e-3)
    torch.manual_seed(2)
    assert torch.allclose(ask(fusion, one)[0], first[0])
    assert all(found.isfinite().all() for found in first)


def test_a_image_without_boxes_and_a_landmark_that_is_nowhere() -> None:
    fusion = make_fusion()
    assert fusion.matching is not None
    words = torch.ones(1, 4, HIDDEN)
    seen = features()
    seen[:, 256:] = 0
    cat = fusion.matching.word_lists[1].vectors[15]
    attributes = stack_attributes([read_attributes("a dog by a cat")], [cat], WIDTH)
    phrases = Phrases(cat[None, None], torch.ones(1, 1, dtype=torch.bool), attributes=attributes)
    with torch.inference_mode():
        found = fusion.ground_with_boxes(
            fusion.encode_image(seen), words, words[..., 0] > 0, phrases
        )
    assert all(tensor is not None and tensor.isfinite().all() for tensor in found)
