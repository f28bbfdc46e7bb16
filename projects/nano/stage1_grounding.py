"""First lesson, seeing: the fusion alone learns which cells a question means; no text yet."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from projects.nano.feature_store import statistics
from text4seg.models.nano.fusion import Fusion
from text4seg.models.nano.text.attributes import stack_attributes
from text4seg.models.nano.text.phrases import STAND_IN, find_attributes, find_phrases, stack_phrases
from text4seg.training.nano.augmentation import to_cells
from text4seg.training.nano.losses import box_loss, names_loss, target_loss
from text4seg.training.nano.new_names import embed_name
from text4seg.training.nano.precision import mixed_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Tokenizer

    from projects.nano.batches import Batches, ImageBatch
    from projects.nano.feature_store import FeatureStore
    from projects.nano.scenes import Scene
    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.matching import Phrases, WordList


# How much the cells' own meanings weigh in the loss, and which boxes are meant.
_OWN_WEIGHT, _BOX_WEIGHT = 0.3, 0.5
# How much faster than the rest the younger parts learn.
_TIMES = {"matching.": 2.0, "spatial.": 4.0}
_PIECE = 64


@dataclass(frozen=True, slots=True)
class GroundingConfig:
    steps: int = 1500
    learning_rate: float = 6e-4
    warm_up: int = 60
    weight_decay: float = 0.05
    names_weight: float = 2.0
    average: float = 0.995
    check_every: int = 100


class QuestionEncoder:
    """Question text → frozen token embeddings, padded: `q t d` and the mask `q t`."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        embedding: Tensor,
        sentences: Callable[[Sequence[str]], Tensor] | None = None,
        *,
        attributes: bool = False,
    ) -> None:
        self._tokenizer, self._embedding, self._sentences = tokenizer, embedding, sentences
        self._attributes = attributes

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        ids = [torch.tensor(self._tokenizer.encode(text).ids) for text in texts]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence(
            [torch.ones(len(i), dtype=torch.bool) for i in ids], True
        )
        return self._embedding[padded], mask

    def read(
        self, texts: Sequence[str], hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Phrases | None]:
        """Token embeddings, their mask, and what the questions ask for.

        A hidden question's words are replaced by a stand-in, and match no same word.
        """
        if self._sentences is None:
            return (*self(texts), None)
        told = [find_attributes(text) for text in texts] if self._attributes else []
        if self._attributes:
            found = [phrases or [text] for text, (phrases, _) in zip(texts, told, strict=True)]
        else:
            found = [find_phrases(text) or [text] for text in texts]
        vectors = [self._sentences(phrases) for phrases in found]
        if hidden is not None:
            texts = [
                without(text, phrases) if hide else text
                for text, phrases, hide in zip(texts, found, hidden.tolist(), strict=True)
            ]
        phrases = stack_phrases(vectors, hidden)
        if self._attributes:
            attributes = [one for _, one in told]
            landmarks = [
                self._sentences([one.landmark])[0] if one.landmark else None for one in attributes
            ]
            made = stack_attributes(attributes, landmarks, phrases.vectors.shape[-1])
            phrases = replace(phrases, attributes=made)
        return (*self(texts), phrases)

    def name(self, name: str) -> Tensor:
        """Mean embedding of a name as it stands inside a sentence (after a space)."""
        return embed_name(self._tokenizer, self._embedding, name)


def fill_open_matching(
    fusion: Fusion,
    sentences: Callable[[Sequence[str]], Tensor],
    classifier: tuple[Tensor, Tensor],
    lists: Sequence[Sequence[Sequence[str]]],
) -> None:
    """Fills what open matching is given: the classifier, and what the words of each list mean."""
    assert fusion.matching is not None  # noqa: S101 - the caller configured it
    unique = list(dict.fromkeys(w for words in lists for ws in words for w in ws))
    # In pieces: sentences are padded to the longest of a batch.
    pieces = [sentences(unique[i : i + _PIECE]) for i in range(0, len(unique), _PIECE)]
    embed = dict(zip(unique, torch.cat(pieces), strict=True))
    fusion.matching.classifier_weight.copy_(classifier[0])
    fusion.matching.classifier_bias.copy_(classifier[1])
    for made, words in zip(fusion.matching.lists, lists, strict=True):
        cast("WordList", made).fill(words, embed)


def list_sizes(lists: Sequence[Sequence[Sequence[str]]]) -> list[list[int]]:
    """Of each list, how many words it has and how many at most for one name."""
    return [[len({w for ws in words for w in ws}), max(map(len, words))] for words in lists]


def fill_constants(
    fusion: Fusion,
    words: QuestionEncoder,
    *,
    names: Sequence[str],
    detected: Sequence[str],
    seen: Sequence[Tensor],
) -> None:
    """Fills the constants of a new fusion: channel statistics, embeddings of the known names."""
    mean, std = statistics(seen, len(fusion.feature_mean))
    fusion.feature_mean.copy_(mean)
    fusion.feature_std.copy_(std)
    fusion.name_embedding.copy_(torch.stack([words.name(name) for name in names]))
    fusion.detector_embedding.copy_(torch.stack([words.name(name) for name in detected]))


def grounding_loss(
    fusion: Fusion, words: QuestionEncoder, batch: ImageBatch, names_weight: float
) -> Tensor:
    from text4seg.prompts import question

    texts = [question(e, index=i) for i, e in enumerate(batch.expressions)]
    embedded, mask, phrases = words.read(texts, batch.hidden)
    with mixed_precision():
        image = fusion.encode_image(batch.features)
        asked = image.select(batch.image)
        _, logits, of_boxes = fusion.ground_with_boxes(asked, embedded, mask, phrases)
    cells = batch.cells.flatten(1)
    loss = target_loss(logits.float(), cells)
    if of_boxes is not None and asked.objects is not None:
        loss = loss + _BOX_WEIGHT * box_loss(of_boxes.float(), asked.objects, cells)
    if phrases is not None and fusion.matching is not None and asked.meanings is not None:
        loss = loss + _OWN_WEIGHT * target_loss(
            fusion.matching.own_logits(asked.meanings, phrases), cells
        )
    return loss + names_weight * names_loss(image.names.float(), batch.names, batch.annotated)


def parameter_groups(fusion: Fusion) -> list[dict[str, Any]]:
    """What starts from nothing where the rest goes on may move faster."""
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in fusion.named_parameters():
        times = next((t for start, t in _TIMES.items() if name.startswith(start)), 1.0)
        groups.setdefault(times, []).append(parameter)
    return [{"params": found, "times": times} for times, found in groups.items()]


def without(text: str, phrases: Sequence[str]) -> str:
    """A question with a stand-in for the things that it names."""
    for phrase in sorted(phrases, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(phrase)}\b", STAND_IN, text, flags=re.IGNORECASE)
    return text


def learning_rate(step: int, settings: GroundingConfig) -> float:
    warm = min(1.0, (step + 1) / settings.warm_up)
    return (
        settings.learning_rate
        * warm
        * (0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.01)
    )


def train_grounding(
    fusion: Fusion,
    words: QuestionEncoder,
    batches: Batches,
    *,
    settings: GroundingConfig,
    folder: Path,
    check: Any = None,
) -> Fusion:
    """Trains `fusion` in place and returns its moving average; resumes from `folder`."""
    averaged = AveragedModel(fusion, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
    optimizer = torch.optim.AdamW(
        parameter_groups(fusion), weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    file = folder / "grounding.pt"
    start = 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        fusion.load_state_dict(state["fusion"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    recent: list[float] = []
    began = time.time()
    for step in range(start, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings) * group["times"]
        loss = grounding_loss(fusion, words, batches.draw(step), settings.names_weight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(fusion.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(fusion)
        recent.append(float(loss.detach()))
        if (step + 1) % 25 == 0 or step + 1 == settings.steps:
            line: dict[str, Any] = {
                "step": step + 1,
                "loss": float(np.mean(recent)),
                "seconds": time.time() - began,
            }
            recent.clear()
            if check is not None and (
                (step + 1) % settings.check_every == 0 or step + 1 == settings.steps
            ):
                line |= check(averaged.module)
            with (folder / "grounding.jsonl").open("a") as log:
                print(json.dumps(line), file=log)
        if (step + 1) % settings.check_every == 0 or step + 1 == settings.steps:
            save(
                {
                    "fusion": fusion.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                    "settings": asdict(settings),
                },
                file,
            )
    return cast("Fusion", averaged.module)


def save(state: dict[str, Any], file: Path) -> None:
    beside = file.with_suffix(".tmp")
    torch.save(state, beside)
    beside.replace(file)


@torch.inference_mode()
def validate_grounding(
    fusion: Fusion,
    words: QuestionEncoder,
    scenes: Sequence[Scene],
    store: FeatureStore,
    *,
    absent: int = 2,
    smallest: float = 0.005,
) -> dict[str, float]:
    """Cell IoU of the fusion's own logits on unseen images: tells of seeing, not nano's score."""
    from text4seg.prompts import question

    fusion.eval()
    random = np.random.default_rng(0)
    scores: dict[str, list[float]] = {}
    for scene in scenes:
        image = fusion.encode_image(store[scene.image].float()[None])
        present = [name for name, layer in scene.layers.items() if layer.mean() >= smallest]
        missing = [scene.absent[i] for i in random.choice(len(scene.absent), absent, replace=False)]
        asked = present + missing
        _, logits = fusion.ground(
            image.select(torch.zeros(len(asked), dtype=torch.long)),
            *words.read([question(f"the {name}") for name in asked]),
        )
        predicted = logits.unflatten(1, (16, 16)) > 0
        for index, name in enumerate(asked):
            if name in missing:
                scores.setdefault(f"{scene.source}/absent_empty", []).append(
                    float(not predicted[index].any())
                )
                continue
            truth = to_cells(torch.from_numpy(scene.layers[name])[None])[0] > 0
            overlap = (predicted[index] & truth).sum() / (predicted[index] | truth).sum()
            scores.setdefault(f"{scene.source}/iou", []).append(float(overlap))
            scores.setdefault(f"{scene.source}/false_empty", []).append(
                float(not predicted[index].any())
            )
            if truth.sum() >= 13:
                scores.setdefault(f"{scene.source}/iou_13", []).append(float(overlap))
        _validate_spatial(fusion, words, scene, image, scores)
    fusion.train()
    return {key: round(float(np.mean(values)), 4) for key, values in sorted(scores.items())}


def _validate_spatial(
    fusion: Fusion,
    words: QuestionEncoder,
    scene: Scene,
    image: ImageState,
    scores: dict[str, list[float]],
) -> None:
    """One of several of a kind, told apart by its place or size: every such question."""
    from projects.nano.referring_questions import spatial_choices
    from text4seg.prompts import question

    found = [
        (templates[0].format(name), thing.coverage)
        for name, choices in spatial_choices(scene).items()
        for templates, thing in choices
    ]
    if not found:
        return
    _, logits = fusion.ground(
        image.select(torch.zeros(len(found), dtype=torch.long)),
        *words.read([question(expression) for expression, _ in found]),
    )
    predicted = logits.unflatten(1, (16, 16)) > 0
    truth = to_cells(torch.from_numpy(np.stack([coverage for _, coverage in found]))) > 0
    overlap = (predicted & truth).sum((1, 2)) / (predicted | truth).sum((1, 2))
    scores.setdefault(f"{scene.source}/placed_iou", []).extend(overlap.tolist())
