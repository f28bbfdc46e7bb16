"""Grounding is learned, and a training that was stopped goes on as if it had not been."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from projects.nano.batches import ImageBatch
from projects.nano.scenes import Scene
from projects.nano.stage1_grounding import (
    GroundingConfig,
    QuestionEncoder,
    fill_constants,
    grounding_loss,
    learning_rate,
    train_grounding,
    validate_grounding,
)
from tests.reference.small_nano import (
    DETECTOR,
    HIDDEN,
    NAMES,
    small_config,
    small_features,
    small_tokenizer,
)
from text4seg.models.nano.fusion import Fusion, ImageState
from text4seg.models.nano.matching import Phrases

SETTINGS = GroundingConfig(steps=8, warm_up=2, check_every=3, average=0.5, learning_rate=3e-3)


def make_words() -> QuestionEncoder:
    tokenizer = small_tokenizer()
    torch.manual_seed(11)
    return QuestionEncoder(tokenizer, torch.randn(tokenizer.get_vocab_size(), HIDDEN))


def make_fusion() -> Fusion:
    torch.manual_seed(3)
    fusion = Fusion(small_config(), HIDDEN)
    seen = list(small_features(5, images=2))
    detected = [f"thing {i}" for i in range(DETECTOR)]
    fill_constants(fusion, make_words(), names=NAMES, detected=detected, seen=seen)
    return fusion


class Drawn:
    """Batches by number: a dog is where the first channel is large. May be stopped at one."""

    def __init__(self, stop_at: int | None = None) -> None:
        self._stop_at = stop_at
        self.drawn: list[int] = []

    def draw(self, seed: int) -> ImageBatch:
        if seed == self._stop_at:
            raise KeyboardInterrupt
        self.drawn.append(seed)
        features = small_features(seed, images=2)
        where = (features[..., 0] > 0.5).float()
        cells = torch.stack([where[0], torch.zeros(256), where[1]]).view(3, 16, 16)
        names = torch.zeros(2, 256, len(NAMES))
        names[..., 1] = where
        annotated = torch.ones(2, len(NAMES), dtype=torch.bool)
        image = torch.tensor([0, 0, 1])
        return ImageBatch(features, image, ["dog", "cat", "dog"], cells, names, annotated)


def train(
    folder: Path, batches: Drawn, settings: GroundingConfig = SETTINGS
) -> tuple[Fusion, Fusion]:
    """The fusion itself and its moving average."""
    folder.mkdir(exist_ok=True)
    fusion = make_fusion()
    averaged = train_grounding(fusion, make_words(), batches, settings=settings, folder=folder)  # type: ignore[arg-type]
    return fusion, averaged


def same(a: Fusion, b: Fusion) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", Drawn())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", Drawn(stop_at=5))
    rest = Drawn()
    parts = train(tmp_path / "parts", rest)
    assert rest.drawn == [3, 4, 5, 6, 7], "on from the last checkpoint"
    assert same(whole[0], parts[0])
    assert same(whole[1], parts[1])
    assert not same(whole[0], whole[1]), "the average lags behind"
    done = Drawn()
    again = train(tmp_path / "parts", done)
    assert done.drawn == []
    assert same(again[1], whole[1])


def test_grounding_is_learned(tmp_path: Path) -> None:
    settings = GroundingConfig(
        steps=60, warm_up=5, check_every=1000, average=0.9, learning_rate=3e-3
    )
    fusion, _ = train(tmp_path, Drawn(), settings)
    unseen = Drawn().draw(1000)
    with torch.no_grad():
        before = float(grounding_loss(make_fusion(), make_words(), unseen, 2.0))
        after = float(grounding_loss(fusion, make_words(), unseen, 2.0))
    assert after < 0.7 * before
    lines = [json.loads(line) for line in (tmp_path / "grounding.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [25, 50, 60]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_a_checkpoint_tells_its_settings(tmp_path: Path) -> None:
    train(tmp_path, Drawn())
    state = torch.load(tmp_path / "grounding.pt", weights_only=True)
    assert state["step"] == 8
    assert GroundingConfig(**state["settings"]) == SETTINGS
    assert {path.name for path in tmp_path.iterdir()} == {"grounding.pt", "grounding.jsonl"}
    fusion = make_fusion()
    prefix = "module."
    averaged = {k: v for k, v in state["averaged"].items() if k.startswith(prefix)}
    fusion.load_state_dict({k.removeprefix(prefix): v for k, v in averaged.items()})


def test_the_rate_rises_and_falls() -> None:
    settings = GroundingConfig(steps=100, warm_up=10, learning_rate=1.0)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.101, abs=1e-3)
    assert np.argmax(rates) == 9
    assert rates[9] == pytest.approx(0.99, abs=0.02)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0.01 < rates[-1] < 0.02


def test_words_are_padded_token_embeddings() -> None:
    words, tokenizer = make_words(), small_tokenizer()
    texts = ["dog", "the teddy bear"]
    embedded, mask = words(texts)
    lengths = [len(tokenizer.encode(text).ids) for text in texts]
    assert mask.sum(1).tolist() == lengths
    assert embedded.shape == (2, max(lengths), HIDDEN)
    alone, _ = words(texts[:1])
    assert torch.equal(embedded[0, : lengths[0]], alone[0])


def test_a_name_is_as_it_stands_in_a_sentence() -> None:
    words, tokenizer = make_words(), small_tokenizer()
    ids = tokenizer.encode(" hot dog").ids
    unit = torch.nn.functional.normalize(words._embedding[ids], dim=-1).mean(0)
    assert torch.allclose(words.name("hot dog"), unit / unit.norm(), atol=1e-5)


def test_a_new_fusion_has_its_constants() -> None:
    fusion, words = make_fusion(), make_words()
    assert torch.allclose(fusion.name_embedding[1], words.name(NAMES[1]))
    assert torch.allclose(fusion.detector_embedding[7], words.name("thing 7"))
    cells = small_features(5, images=2)[..., :-DETECTOR].flatten(0, 1)
    assert torch.allclose(fusion.feature_mean, cells.mean(0), atol=1e-4)
    assert torch.allclose(fusion.feature_std, cells.std(0, unbiased=False), atol=1e-3)


class Believer(Fusion):
    """Takes the first channel for the answer, whatever it is asked."""

    def encode_image(self, features: Tensor) -> ImageState:
        return ImageState(features, features, features)

    def ground(
        self, image: ImageState, words: Tensor, mask: Tensor, phrases: Phrases | None = None
    ) -> tuple[Tensor, Tensor]:
        return image.cells, image.cells[..., 0]


def test_validation_scores_unseen_images() -> None:
    fusion = Believer(small_config(), HIDDEN)
    layer = np.zeros((16, 16), dtype=np.float32)
    layer[2:6, 3:9] = 1.0
    half = layer.copy()
    half[4:6] = 0
    scenes = [
        Scene(Path("a"), "coco", {"dog": layer}, frozenset({"dog", "cat", "hot dog"})),
        Scene(Path("b"), "coco", {"dog": layer}, frozenset({"dog", "cat", "hot dog"})),
    ]
    seen = {
        Path("a"): torch.from_numpy(layer * 2 - 1).view(256, 1),
        Path("b"): torch.from_numpy(half * 2 - 1).view(256, 1),
    }

    scores = validate_grounding(fusion, make_words(), scenes, seen)  # type: ignore[arg-type]
    assert scores == {
        "coco/absent_empty": 0.0,
        "coco/false_empty": 0.0,
        "coco/iou": 0.75,
        "coco/iou_13": 0.75,
    }
    assert fusion.training, "and training goes on"
