"""What each ablation removes, and the table of the results."""

from __future__ import annotations

import torch

from projects.nano.benchmarks import ablations
from tests.reference.small_nano import small_config, small_features
from text4seg.models.nano.encoders.vision import CHANNELS, DETECTOR_CHANNELS
from text4seg.models.nano.fusion import Fusion

VISUAL = CHANNELS - DETECTOR_CHANNELS


def test_eyes_see_the_mean_and_the_detector_nothing() -> None:
    features, mean = torch.rand(2, CHANNELS) + 1.0, torch.full((VISUAL,), 0.5)
    blind = ablations.ABLATIONS["without TinyViT"].change(features, mean)
    start, stop = ablations.TINYVIT
    assert torch.equal(blind[:, start:stop], torch.full((2, stop - start), 0.5))
    assert torch.equal(blind[:, :start], features[:, :start])
    assert torch.equal(blind[:, stop:], features[:, stop:])
    alone = ablations.ABLATIONS["the detector alone"].change(features, mean)
    assert (alone[:, :VISUAL] == 0.5).all()
    assert torch.equal(alone[:, VISUAL:], features[:, VISUAL:])
    nothing = ablations.ABLATIONS["without the detector"].change(features, mean)
    assert not nothing[:, VISUAL:].any()
    assert (features >= 1.0).all(), "the features themselves stay as they are"
    with_boxes = torch.ones(258, CHANNELS + 12)
    unseen = ablations.ABLATIONS["without the detector"].change(with_boxes, mean)
    assert not unseen[256:].any(), "boxes stand behind the cells"
    assert unseen[:256, CHANNELS:].all(), "colors stay"
    assert ablations.ABLATIONS["without TinyViT"].change(with_boxes, mean)[256:].all()


def test_a_silent_module_adds_nothing_and_learns_nothing() -> None:
    fusion = Fusion(small_config(), 32)
    ablations.ABLATIONS["without matching by tokens"].silence(fusion)
    image = fusion.encode_image(small_features()[:1])
    words = torch.randn(1, 3, 32)
    _, logits = fusion.ground(image, words, torch.ones(1, 3, dtype=torch.bool))
    assert not fusion.match(torch.randn(5, 8)).any()
    logits.sum().backward()
    assert fusion.match.weight.grad is None
    assert fusion.target.weight.grad is not None


def test_ablations_as_a_table() -> None:
    taken = {name: {"coco": {"iou": 0.5}} for name in ("all", "without TinyViT")}
    record = {"taken_away": taken, "command": "c", "learned": {"all": {"coco": {"iou": 0.25}}}}
    lines = ablations.table(record).splitlines()
    assert lines[0] == "| | coco | coco, learned |"
    assert lines[2:4] == ["| all | 0.500 | 0.250 |", "| without TinyViT | 0.500 | – |"]
    del record["learned"]
    assert ablations.table(record).splitlines()[2] == "| all | 0.500 |"
