"""What the frozen model finds in images, collected once for the training of answers in words."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from projects.nano.checkpoints import save_checkpoint
from projects.nano.scenes import SMALLEST_SHARE
from projects.nano.vqa_questions import VqaQuestion, ask_all, move_scene
from text4seg.models.nano.config import VISION_CHANNELS
from text4seg.models.nano.text.question_types import parse_question
from text4seg.models.nano.vqa_evidence import evidence_width, name_features
from text4seg.models.nano.vqa_head import VqaHead
from text4seg.models.nano.vqa_session import gather_evidence
from text4seg.training.nano.augmentation import move_features, weaken_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from projects.nano.feature_store import FeatureStore
    from projects.nano.scenes import Scene
    from text4seg.models.nano.nano_model import NanoModel

# Shares of the collections; only those whose names are annotated in full can be denied or counted.
_MIX = {"coco": 0.5, "panoptic": 0.12, "clothing": 0.38}
# Images of a file of evidence, and share of the images that are neither zoomed nor shifted.
_SHARD = 50
_STILL = 0.4


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """What the frozen model finds in one image.

    Attributes:
        cells: Pooled states that the image tokens are made of, `64 d`.
        names: Features of the known names, `n f`.
        present: Whether each known name is present, `n`: 1, 0, or -1 where that is not annotated.
        evidence: Evidence of each question, `q e`; NaN where it is about no one thing.
        questions: The questions.
        kinds: Their kinds.
        answers: Their answers.
    """

    cells: Tensor
    names: Tensor
    present: Tensor
    evidence: Tensor
    questions: list[str]
    kinds: list[str]
    answers: list[str]


def iterate_evidence(
    chat: NanoModel,
    read_scenes: Callable[[], Sequence[Scene]],
    store: FeatureStore,
    folder: Path,
    images: int,
) -> Iterator[list[ImageEvidence]]:
    """Collect evidence from images, in shards that are cached on disk.

    Args:
        chat: The model.
        read_scenes: Reads the scenes, which takes a minute; called only if a shard is missing.
        store: Features of the images.
        folder: Where the shards are kept, in a folder named by the fusion's weights.
        images: Number of images.

    Yields:
        The evidence of each shard's images.
    """
    folder = folder / f"found-{fingerprint(chat.model.fusion)}"
    folder.mkdir(parents=True, exist_ok=True)
    order: list[Scene] = []
    for start in range(0, images, _SHARD):
        file = folder / f"{start:05d}-{min(images, start + _SHARD):05d}.pt"
        if file.exists():
            yield [ImageEvidence(**one) for one in torch.load(file, weights_only=True)["images"]]
            continue
        order = order or _order(read_scenes(), images)
        made = [
            collect_image(chat, scene, store, np.random.default_rng((start + index, 3)))
            for index, scene in enumerate(order[start : start + _SHARD])
        ]
        save_checkpoint(
            {"images": [{n: getattr(one, n) for n in ImageEvidence.__slots__} for one in made]},
            file,
        )
        yield made


def count_shards(images: int) -> int:
    """Count the shards of a number of images."""
    return math.ceil(images / _SHARD)


def _order(scenes: Sequence[Scene], images: int) -> list[Scene]:
    """Shuffle the images so that each collection has its share.

    The order does not depend on the number, so more images leave the first shards as they are.
    """
    random = np.random.default_rng(4)
    groups = {s: [one for one in scenes if one.source == s] for s in _MIX}
    groups = {
        s: [found[i] for i in random.permutation(len(found))]
        for s, found in groups.items()
        if found
    }
    shares = np.array([_MIX[s] for s in groups])
    drawn = random.choice(list(groups), size=images, p=shares / shares.sum())
    taken = dict.fromkeys(groups, 0)
    order = []
    for source in map(str, drawn):
        order.append(groups[source][taken[source] % len(groups[source])])
        taken[source] += 1
    return order


@torch.inference_mode()
def collect_image(
    chat: NanoModel,
    scene: Scene,
    store: FeatureStore,
    random: np.random.Generator,
    *,
    moved: bool = True,
) -> ImageEvidence:
    """Make questions about an image and collect their evidence.

    Args:
        chat: The model.
        scene: The image with its masks.
        store: Its features.
        random: Source of randomness.
        moved: Whether the image is augmented, as in training.

    Returns:
        The evidence of the image.
    """
    model = chat.model
    seen = store[scene.image][None].float()
    if moved:
        flip, zoom, shift = _draw_move(random)
        scene = move_scene(scene, flip=flip, zoom=zoom, shift=shift)
        seen = move_features(
            seen, flips=torch.tensor([flip]), zoom=torch.tensor([zoom]), shift=torch.tensor([shift])
        )
        seen = weaken_detector(seen, VISION_CHANNELS, random)
    asked = ask_all(scene, random)
    image = model.fusion.encode_image(seen)
    reader = model.vqa_head or VqaHead(model.config, 1)
    return ImageEvidence(
        model.pool_cells(image)[0].half().clone(),
        name_features(image, reader.detected)[0].half().clone(),
        _present(scene, model.config.names),
        collect_evidence(chat, image, asked).half(),
        [one.question for one in asked],
        [one.kind for one in asked],
        [one.answer for one in asked],
    )


def collect_evidence(chat: NanoModel, image: Any, asked: Sequence[VqaQuestion]) -> Tensor:
    """Collect the evidence of questions, `q e`; NaN where a question is about no one thing."""
    found = torch.full((len(asked), evidence_width(chat.model.config)), float("nan"))
    expressions = {
        index: read.expression
        for index, one in enumerate(asked)
        if (read := parse_question(one.question)).expression
    }
    if expressions and chat.reader is not None:
        found[list(expressions)] = gather_evidence(
            chat.model, chat.reader, chat.encode, image, list(expressions.values())
        )
    return found


def _draw_move(random: np.random.Generator) -> tuple[bool, float, tuple[float, float]]:
    flip = bool(random.random() < 0.5)
    if random.random() < _STILL:
        return flip, 1.0, (0.0, 0.0)
    zoom = float(np.exp(random.uniform(np.log(0.75), 0.0)))
    room = (1 - zoom) / zoom
    return flip, zoom, (float(random.uniform(-room, room)), float(random.uniform(-room, room)))


def _present(scene: Scene, names: Sequence[str]) -> Tensor:
    present = torch.full((len(names),), -1, dtype=torch.int8)
    for index, name in enumerate(names):
        if name in scene.layers and name in scene.annotated:
            present[index] = 1 if scene.layers[name].mean() >= SMALLEST_SHARE else -1
        elif name in scene.annotated:
            present[index] = 0
    return present


def fingerprint(module: nn.Module) -> str:
    """Hash the weights of a module to eight letters."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:8]
