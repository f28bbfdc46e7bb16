"""The fusion: what a question is must matter, what pads it must not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.reference.small_nano import DETECTOR, HIDDEN, NAMES, small_config, small_features
from text4seg.models.nano.fusion import Fusion, ImageState


def make_fusion(seed: int = 0) -> Fusion:
    torch.manual_seed(seed)
    fusion = Fusion(small_config(), HIDDEN).eval()
    fusion.name_embedding.normal_()
    fusion.detector_embedding.normal_()
    return fusion


@torch.inference_mode()
def ask(fusion: Fusion, image: ImageState, words: Tensor, mask: Tensor | None = None) -> Tensor:
    shown = torch.ones(words.shape[:2], dtype=torch.bool) if mask is None else mask
    return fusion.ground(image, words, shown)[1]


@torch.inference_mode()
def see(fusion: Fusion, features: Tensor) -> ImageState:
    return fusion.encode_image(features)


def test_states_have_their_shapes() -> None:
    fusion = make_fusion()
    image = see(fusion, small_features(images=2))
    assert image.cells.shape == (2, 256, 16)
    assert image.names.shape == (2, 256, len(NAMES))
    assert image.boxes.shape == (2, 256, DETECTOR)
    with torch.inference_mode():
        states, logits = fusion.ground(
            image, torch.randn(2, 5, HIDDEN), torch.ones(2, 5, dtype=torch.bool)
        )
    assert states.shape == (2, 256, 16)
    assert logits.shape == (2, 256)


def test_padding_a_question_changes_nothing() -> None:
    fusion, words = make_fusion(), torch.randn(1, 4, HIDDEN)
    image = see(fusion, small_features())
    padded = torch.cat([words, torch.randn(1, 7, HIDDEN)], dim=1)
    mask = torch.arange(11)[None] < 4
    expected = ask(fusion, image, words)
    assert torch.allclose(ask(fusion, image, padded, mask), expected, atol=1e-5)
    assert not torch.allclose(ask(fusion, image, padded), expected, atol=1e-2)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_question_may_be_shorter_than_a_window(length: int) -> None:
    fusion = make_fusion()
    image = see(fusion, small_features())
    found = ask(fusion, image, torch.randn(1, length, HIDDEN))
    assert found.isfinite().all()


def test_a_question_is_read_up_to_its_64th_token() -> None:
    fusion, words = make_fusion(), torch.randn(1, 90, HIDDEN)
    image = see(fusion, small_features())
    assert torch.equal(ask(fusion, image, words), ask(fusion, image, words[:, :64]))
    assert not torch.allclose(
        ask(fusion, image, words), ask(fusion, image, words[:, :63]), atol=1e-4
    )


def test_several_questions_of_a_image_are_asked_at_once() -> None:
    fusion, words = make_fusion(), torch.randn(3, 4, HIDDEN)
    images = see(fusion, small_features(images=2))
    image = torch.tensor([1, 0, 1])
    together = ask(fusion, images.select(image), words)
    for index, which in enumerate(image.tolist()):
        alone = ask(fusion, images.select(torch.tensor([which])), words[index : index + 1])
        assert torch.allclose(together[index], alone[0], atol=1e-5)


def test_a_name_counts_where_it_is_seen_and_for_whom_asks_for_it() -> None:
    """The match channels of a question that is a known name: the cells where that name is seen."""
    fusion = make_fusion()
    fusion.name_embedding.copy_(torch.eye(len(NAMES), HIDDEN))
    fusion.detector_embedding.copy_(torch.eye(DETECTOR, HIDDEN).roll(-1, 0))
    fusion.detector_embedding[HIDDEN - 2 :] = -1.0
    names = torch.full((1, 256, len(NAMES)), -20.0)
    names[0, 7, 1] = 20.0
    names[0, 9, 2] = 20.0
    image = ImageState(torch.zeros(1, 256, 16), names, torch.zeros(1, 256, DETECTOR))
    word = torch.eye(HIDDEN)[1].view(1, 1, HIDDEN) * 3
    mask = torch.ones(1, 1, dtype=torch.bool)
    with torch.inference_mode():
        channels = fusion._match_channels(image, word, mask)[0]
    assert channels.shape == (256, 8)
    assert torch.allclose(channels[7, :4], torch.ones(4), atol=1e-3)
    assert not (channels[[0, 9]][:, :4] > 1e-3).any(), "another name's cell, and no name's"
    assert not channels[:, 4:].any(), "the detector saw nothing"


def test_features_are_brought_to_mean_zero_before_they_are_read() -> None:
    fusion = make_fusion()
    features = small_features()
    expected = see(fusion, features)
    visual = features.shape[-1] - DETECTOR
    fusion.feature_mean.fill_(3.0)
    fusion.feature_std.fill_(2.0)
    moved = features.clone()
    moved[..., :visual] = moved[..., :visual] * 2.0 + 3.0
    assert torch.allclose(see(fusion, moved).cells, expected.cells, atol=1e-4)
