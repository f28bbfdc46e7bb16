"""Stage 1, grounding: the fusion learns which cells a question refers to.

Only the fusion is trained, on cached features of the frozen encoders; there is no text yet. The
moving average of its weights is what the later stages use.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from projects.nano.checkpoints import append_log, save_checkpoint
from projects.nano.feature_store import statistics
from projects.nano.referring_questions import spatial_choices
from text4seg.models.nano.fusion import Fusion
from text4seg.models.nano.text.attributes import stack_attributes
from text4seg.models.nano.text.phrases import STAND_IN, find_attributes, find_phrases, stack_phrases
from text4seg.prompts import question
from text4seg.training.nano.augmentation import to_cells
from text4seg.training.nano.losses import box_loss, names_loss, target_loss
from text4seg.training.nano.new_names import embed_name
from text4seg.training.nano.precision import mixed_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tokenizers import Tokenizer

    from projects.nano.batches import Batches, ImageBatch
    from projects.nano.feature_store import FeatureStore
    from projects.nano.scenes import Scene
    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.matching import Phrases, WordList


# Weights in the loss of matching by the cells' own embeddings, and of the detected boxes.
_OWN_WEIGHT, _BOX_WEIGHT = 0.3, 0.5
# Modules that were added to trained weights learn faster, so that they catch up with the rest.
_TIMES = {"matching.": 2.0, "spatial.": 4.0}
# Sentences embedded at once; they are padded to the longest of them.
_PIECE = 64
# Absent names asked per image in the validation, and the smallest thing that is asked for.
_CHECKED_ABSENT, _CHECKED_SHARE = 2, 0.005
# Cells from which a target counts as large.
_LARGE = 13
_LOG_EVERY = 25


@dataclass(frozen=True, slots=True)
class GroundingConfig:
    """Settings of the stage.

    Attributes:
        steps: Optimizer steps.
        learning_rate: Peak of AdamW's learning rate.
        warm_up: Steps until the peak.
        weight_decay: Of AdamW.
        names_weight: Weight of the name head's loss.
        average: Decay of the moving average of the weights.
        check_every: Steps between validations and checkpoints.
    """

    steps: int = 1500
    learning_rate: float = 6e-4
    warm_up: int = 60
    weight_decay: float = 0.05
    names_weight: float = 2.0
    average: float = 0.995
    check_every: int = 100


class QuestionEncoder:
    """Encodes questions with the frozen token and sentence embeddings.

    Called with texts it returns their token embeddings, padded to `q t d`, and the mask `q t`.
    """

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
        """Encode questions and the phrases in them.

        Args:
            texts: The questions.
            hidden: Questions whose phrases are replaced by a stand-in word and match no equal
                word, `q`. This trains matching by meaning, which new words depend on.

        Returns:
            Token embeddings `q t d`, their mask `q t`, and the phrases, if there are sentence
            embeddings.
        """
        if self._sentences is None:
            return (*self(texts), None)
        parsed = [find_attributes(text) for text in texts] if self._attributes else []
        if self._attributes:
            found = [phrases or [text] for text, (phrases, _) in zip(texts, parsed, strict=True)]
        else:
            found = [find_phrases(text) or [text] for text in texts]
        vectors = [self._sentences(phrases) for phrases in found]
        if hidden is not None:
            texts = [
                hide_phrases(text, phrases) if hide else text
                for text, phrases, hide in zip(texts, found, hidden.tolist(), strict=True)
            ]
        phrases = stack_phrases(vectors, hidden)
        if self._attributes:
            attributes = [one for _, one in parsed]
            landmarks = [
                self._sentences([one.landmark])[0] if one.landmark else None for one in attributes
            ]
            made = stack_attributes(attributes, landmarks, phrases.vectors.shape[-1])
            phrases = replace(phrases, attributes=made)
        return (*self(texts), phrases)

    def name(self, name: str) -> Tensor:
        """Embed a known name for the name head, `d`."""
        return embed_name(self._tokenizer, self._embedding, name)


def fill_open_matching(
    fusion: Fusion,
    sentences: Callable[[Sequence[str]], Tensor],
    classifier: tuple[Tensor, Tensor],
    lists: Sequence[Sequence[Sequence[str]]],
) -> None:
    """Fill the constants of open matching.

    Args:
        fusion: The fusion, configured with open matching; changed in place.
        sentences: The sentence encoder.
        classifier: Weight and bias of the ImageNet classifier.
        lists: Words of each name, for the name head, the detector and the classifier.
    """
    assert fusion.matching is not None  # noqa: S101 - the caller configured it
    unique = list(dict.fromkeys(w for words in lists for ws in words for w in ws))
    pieces = [sentences(unique[i : i + _PIECE]) for i in range(0, len(unique), _PIECE)]
    embed = dict(zip(unique, torch.cat(pieces), strict=True))
    fusion.matching.classifier_weight.copy_(classifier[0])
    fusion.matching.classifier_bias.copy_(classifier[1])
    for made, words in zip(fusion.matching.lists, lists, strict=True):
        cast("WordList", made).fill(words, embed)


def list_sizes(lists: Sequence[Sequence[Sequence[str]]]) -> list[list[int]]:
    """Count the words of each list, and the most of one name."""
    return [[len({w for ws in words for w in ws}), max(map(len, words))] for words in lists]


def fill_constants(
    fusion: Fusion,
    words: QuestionEncoder,
    *,
    names: Sequence[str],
    detected: Sequence[str],
    seen: Sequence[Tensor],
) -> None:
    """Fill the constants of a new fusion.

    Args:
        fusion: The fusion; changed in place.
        words: Encodes the names.
        names: Names of the name head.
        detected: Names of the detector's classes.
        seen: Features of some images, for the mean and deviation of each channel.
    """
    mean, std = statistics(seen, len(fusion.feature_mean))
    fusion.feature_mean.copy_(mean)
    fusion.feature_std.copy_(std)
    fusion.name_embedding.copy_(torch.stack([words.name(name) for name in names]))
    fusion.detector_embedding.copy_(torch.stack([words.name(name) for name in detected]))


def grounding_loss(
    fusion: Fusion, words: QuestionEncoder, batch: ImageBatch, names_weight: float
) -> Tensor:
    """Compute the loss of a batch: target cells, boxes, open matching and names."""
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
    """Group the parameters by their learning rate."""
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in fusion.named_parameters():
        times = next((t for start, t in _TIMES.items() if name.startswith(start)), 1.0)
        groups.setdefault(times, []).append(parameter)
    return [{"params": found, "times": times} for times, found in groups.items()]


def hide_phrases(text: str, phrases: Sequence[str]) -> str:
    """Replace the phrases of a question by a stand-in word."""
    for phrase in sorted(phrases, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(phrase)}\b", STAND_IN, text, flags=re.IGNORECASE)
    return text


def learning_rate(step: int, settings: GroundingConfig) -> float:
    """Get the learning rate of a step: linear warm-up, then a cosine down to a hundredth."""
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
    """Train the fusion, from the last checkpoint in `folder` on.

    Args:
        fusion: Trained in place.
        words: Encodes the questions.
        batches: Draws the batch of each step.
        settings: Settings of the stage.
        folder: Keeps `grounding.pt` and the log `grounding.jsonl`.
        check: Validates the averaged fusion; its scores go into the log.

    Returns:
        The moving average of the fusion.
    """
    averaged = AveragedModel(fusion, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
    optimizer = torch.optim.AdamW(
        parameter_groups(fusion), weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    parts: dict[str, Any] = {"fusion": fusion, "averaged": averaged, "optimizer": optimizer}
    file = folder / "grounding.pt"
    start = 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        start = state["step"]
    recent: list[float] = []
    began = time.time()
    for step in range(start, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings) * group["times"]
        # The batch is a function of the step, so a resumed training sees the same batches.
        loss = grounding_loss(fusion, words, batches.draw(step), settings.names_weight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(fusion.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(fusion)
        recent.append(float(loss.detach()))
        done, last = step + 1, step + 1 == settings.steps
        checked = done % settings.check_every == 0 or last
        if done % _LOG_EVERY == 0 or last:
            line = {"step": done, "loss": float(np.mean(recent)), "seconds": time.time() - began}
            recent.clear()
            line |= check(averaged.module) if check is not None and checked else {}
            append_log(folder / "grounding.jsonl", line)
        if checked:
            state = {name: part.state_dict() for name, part in parts.items()}
            save_checkpoint(state | {"step": done, "settings": asdict(settings)}, file)
    return cast("Fusion", averaged.module)


@torch.inference_mode()
def validate_grounding(
    fusion: Fusion, words: QuestionEncoder, scenes: Sequence[Scene], store: FeatureStore
) -> dict[str, float]:
    """Score the fusion's own logits on validation images.

    This is the quality of grounding, not nano's score, which is that of its text.

    Args:
        fusion: The averaged fusion.
        words: Encodes the questions.
        scenes: Validation images.
        store: Their features.

    Returns:
        Per source: mean IoU, that of large targets and of spatial questions, and the shares of
        missed targets and of absent ones left empty.
    """
    fusion.eval()
    random = np.random.default_rng(0)
    scores: dict[str, list[float]] = defaultdict(list)
    for scene in scenes:
        image = fusion.encode_image(store[scene.image].float()[None])
        drawn = random.choice(len(scene.absent), _CHECKED_ABSENT, replace=False)
        absent = [scene.absent[i] for i in drawn]
        for key, value in _score_names(fusion, words, scene, image, absent):
            scores[f"{scene.source}/{key}"].append(value)
        spatial = _score_spatial(fusion, words, scene, image)
        if spatial:
            scores[f"{scene.source}/spatial_iou"] += spatial
    fusion.train()
    return {key: round(float(np.mean(values)), 4) for key, values in sorted(scores.items())}


def _predict(
    fusion: Fusion, words: QuestionEncoder, image: ImageState, expressions: Sequence[str]
) -> Tensor:
    """Predict the cells of several expressions about one image, `q 16 16`."""
    _, logits = fusion.ground(
        image.select(torch.zeros(len(expressions), dtype=torch.long)),
        *words.read([question(expression) for expression in expressions]),
    )
    return logits.unflatten(1, (16, 16)) > 0


def _score_names(
    fusion: Fusion,
    words: QuestionEncoder,
    scene: Scene,
    image: ImageState,
    absent: Sequence[str],
) -> Iterator[tuple[str, float]]:
    """Ask for every present name and some absent ones."""
    present = [name for name, layer in scene.layers.items() if layer.mean() >= _CHECKED_SHARE]
    asked = [*present, *absent]
    predicted = _predict(fusion, words, image, [f"the {name}" for name in asked])
    for name, cells in zip(asked, predicted, strict=True):
        empty = float(not cells.any())
        if name in absent:
            yield "absent_empty", empty
            continue
        truth = to_cells(torch.from_numpy(scene.layers[name])[None])[0] > 0
        overlap = float((cells & truth).sum() / (cells | truth).sum())
        yield "iou", overlap
        yield "false_empty", empty
        if truth.sum() >= _LARGE:
            yield "iou_13", overlap


def _score_spatial(
    fusion: Fusion, words: QuestionEncoder, scene: Scene, image: ImageState
) -> list[float]:
    """Ask every question that singles out one of several things by position or size."""
    found = [
        (templates[0].format(name), thing.coverage)
        for name, choices in spatial_choices(scene).items()
        for templates, thing in choices
    ]
    if not found:
        return []
    predicted = _predict(fusion, words, image, [expression for expression, _ in found])
    truth = to_cells(torch.from_numpy(np.stack([coverage for _, coverage in found]))) > 0
    overlap = (predicted & truth).sum((1, 2)) / (predicted | truth).sum((1, 2))
    return list(overlap.tolist())
