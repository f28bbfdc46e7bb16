"""Third lesson, answering in words: a small network tells the language model what was found.

Everything else is frozen, so masks stay as they are. What the fusion finds of the questions is
gathered once, from images moved and mirrored and with a weakened detector (it knows the train
images too well), and kept; the network then learns from it through the frozen language model.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from projects.nano.scenes import SMALLEST_SHARE
from projects.nano.stage1_grounding import save
from projects.nano.vqa_questions import VqaQuestion, ask_all, move_scene
from text4seg.models.nano.config import VISION_CHANNELS
from text4seg.models.nano.text.question_types import KINDS, read_question
from text4seg.models.nano.vqa_evidence import evidence_width, name_features
from text4seg.models.nano.vqa_head import SLOTS, VqaHead
from text4seg.models.nano.vqa_session import gather_evidence
from text4seg.training.nano.augmentation import move_features, weaken_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from projects.nano.feature_store import FeatureStore
    from projects.nano.scenes import Scene
    from text4seg.models.nano.modeling import NanoForConditionalGeneration
    from text4seg.models.nano.nano_model import NanoModel
    from text4seg.models.nano.text.tokens import PromptTokenizer

# Shares of the collections whose names are annotated in full.
_MIX = {"coco": 0.5, "panoptic": 0.12, "clothing": 0.38}
ANSWER = "vqa.pt"
_SHARD = 50
_STILL = 0.4


@dataclass(frozen=True, slots=True)
class VqaConfig:
    images: int = 650
    steps: int = 300
    images_a_step: int = 4
    questions_a_image: int = 4
    guesses: int = 256
    named: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: int = 20
    save_every: int = 50
    log_every: int = 10


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """Of one image: `cells 64 d` as its image tokens are made of, features of the known names
    `n f` and whether they are there `n` (-1: not known), and what was found of each question `q e`.
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
    """What is found in so many images, in shards; those in the folder are read from there.

    Scenes, a minute's work, are read only where a shard is missing.
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
        save(
            {"images": [{n: getattr(one, n) for n in ImageEvidence.__slots__} for one in made]},
            file,
        )
        yield made


def count_shards(images: int) -> int:
    """How many shards so many images are."""
    return math.ceil(images / _SHARD)


def _order(scenes: Sequence[Scene], images: int) -> list[Scene]:
    """The same images first, however many; of each collection its share, shuffled."""
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
    """Questions about an image and what is found of them; `moved`, as images of lessons are."""
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
    """`q e`; not a number where a question is about no one thing."""
    found = torch.full((len(asked), evidence_width(chat.model.config)), float("nan"))
    expressions = {
        index: read.expression
        for index, one in enumerate(asked)
        if (read := read_question(one.question)).expression
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
    """Eight letters that change with any weight."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:8]


class VqaLosses:
    """Losses of one step, of what was gathered."""

    def __init__(
        self,
        model: NanoForConditionalGeneration,
        reader: VqaHead,
        text: PromptTokenizer,
        found: Sequence[ImageEvidence],
        settings: VqaConfig,
    ) -> None:
        self._model, self._reader, self._text = model, reader, text
        self._found, self._settings = found, settings
        places = [(p, q) for p, one in enumerate(found) for q in range(len(one.questions))]
        guessed = [(p, q) for p, q in places if found[p].kinds[q] not in ("names", "name")]
        self._evidence = torch.stack([found[p].evidence[q] for p, q in guessed]).float()
        self._kinds = torch.tensor([KINDS.index(found[p].kinds[q]) for p, q in guessed])
        self.words = sorted({found[p].answers[q] for p, q in guessed})
        self._words = torch.tensor([self.words.index(found[p].answers[q]) for p, q in guessed])

    def measure_evidence(self) -> None:
        """The mean and deviation of each number of the evidence, kept in the reader."""
        known = self._evidence[~self._evidence.isnan().any(-1)]
        self._reader.mean.copy_(known.mean(0))
        self._reader.deviation.copy_(known.std(0).clamp_min(1e-3))

    def read(self, evidence: Tensor, kinds: Tensor) -> Tensor:
        evidence = torch.where(evidence.isnan(), self._reader.mean, evidence)
        return self._reader.find(evidence, kinds)

    def guess(self, random: np.random.Generator, head: nn.Module) -> Tensor:
        """The answer guessed by a layer of its own, which only helps to learn: it costs no text."""
        rows = torch.from_numpy(random.integers(len(self._words), size=self._settings.guesses))
        read = self.read(self._evidence[rows], self._kinds[rows])
        return functional.cross_entropy(head(read), self._words[rows])

    def name(self, random: np.random.Generator) -> Tensor:
        """Which known names are there, where that is known."""
        rows = random.integers(len(self._found), size=self._settings.named)
        features = torch.stack([self._found[row].names for row in rows]).float()
        present = torch.stack([self._found[row].present for row in rows])
        known = present >= 0
        logits = self._reader.name(features)[known]
        return functional.binary_cross_entropy_with_logits(logits, present[known].float())

    def write(self, random: np.random.Generator) -> tuple[Tensor, dict[str, list[bool]]]:
        """The answers written by the language model: loss, and which were right, by kind."""
        settings = self._settings
        images = random.integers(len(self._found), size=settings.images_a_step)
        rows = [
            (place, int(q))
            for place, image in enumerate(images)
            for q in random.permutation(len(self._found[image].questions))[
                : settings.questions_a_image
            ]
        ]
        chosen = [(self._found[images[place]], q) for place, q in rows]
        answers = [self._answer(one, q, random) for one, q in chosen]
        tokens = [[*self._text.encode(answer), self._text.end] for answer in answers]
        given = self._given(chosen, tokens)
        hidden = self._read_prompts(
            torch.stack([self._found[image].cells for image in images]).float(),
            torch.tensor([place for place, _ in rows]),
            [one.questions[q] for one, q in chosen],
            tokens,
            given,
        )
        targets = nn.utils.rnn.pad_sequence(
            [torch.tensor(row) for row in tokens], batch_first=True, padding_value=-100
        )
        wanted = targets != -100
        logits = hidden[wanted] @ self._model.language.embed_tokens.weight.T
        loss = functional.cross_entropy(logits, targets[wanted], reduction="none")
        per_answer = wanted.sum(1)[:, None].expand_as(targets)[wanted]
        right: dict[str, list[bool]] = {}
        hits = torch.zeros_like(wanted)
        hits[wanted] = logits.argmax(-1) == targets[wanted]
        for (one, q), row, there in zip(chosen, hits, wanted, strict=True):
            right.setdefault(one.kinds[q], []).append(bool(row[there].all()))
        return (loss / per_answer).sum() / len(rows), right

    def _answer(self, one: ImageEvidence, q: int, random: np.random.Generator) -> str:
        """As it is; half of the lists of names are others: any can be written by who is led to."""
        if one.kinds[q] in ("names", "name") and random.random() < 0.5:
            names = random.choice(self._model.config.names, size=random.integers(1, 5))
            return ", ".join(map(str, names))
        return one.answers[q]

    def _given(
        self, chosen: Sequence[tuple[ImageEvidence, int]], tokens: list[list[int]]
    ) -> Tensor:
        evidence = torch.stack([one.evidence[q] for one, q in chosen]).float()
        kinds = torch.tensor([KINDS.index(one.kinds[q]) for one, q in chosen])
        slots = self._reader.say(self.read(evidence, kinds))
        longest = max(SLOTS, *map(len, tokens))
        slots = functional.pad(slots, (0, 0, 0, longest - SLOTS))
        rows = []
        for (one, q), slot, row in zip(chosen, slots, tokens, strict=True):
            given = slot
            if one.kinds[q] in ("names", "name"):
                led = self._reader.lead(self._model.language.embed_tokens(torch.tensor(row)))
                given = functional.pad(led, (0, 0, 0, longest - len(row)))
            rows.append(given)
        return torch.stack(rows)

    def _read_prompts(
        self,
        cells: Tensor,
        image: Tensor,
        questions: Sequence[str],
        tokens: Sequence[Sequence[int]],
        given: Tensor,
    ) -> Tensor:
        """Hidden states `q t d` from which the tokens of the answers are chosen.

        What stands before them is read without gradients.
        """
        language, text = self._model.language, self._text
        embed = language.embed_tokens
        prefix = torch.tensor([text.image_prefix()]).expand(len(cells), -1)
        prompts = [torch.tensor(text.encode(q) + text.after_image("", "")) for q in questions]
        longest = max(len(row) for row in prompts) - 1
        pads = torch.tensor([longest - len(row) + 1 for row in prompts])
        padded = torch.stack(
            [functional.pad(r[:-1], (longest - len(r) + 1, 0), value=text.end) for r in prompts]
        )
        before = torch.arange(longest)[None] >= pads[:, None]
        mask = torch.cat([torch.ones(len(prompts), prefix.shape[1], dtype=torch.bool), before], 1)
        start = prefix.shape[1]
        cache = DynamicCache(config=language.config)
        with torch.no_grad():
            places = (prefix == self._model.config.image_token)[..., None]
            seen = self._model.image_projector(cells)
            language(
                inputs_embeds=embed(prefix).masked_scatter(places, seen),
                past_key_values=cache,
                use_cache=True,
            )
            cache.batch_select_indices(image)
            language(
                inputs_embeds=embed(padded),
                attention_mask=mask,
                position_ids=(start + torch.arange(longest)[None] - pads[:, None]).clamp_min(0),
                past_key_values=cache,
                use_cache=True,
            )
        count = max(map(len, tokens))
        fed = nn.utils.rnn.pad_sequence(
            [
                torch.tensor([int(prompt[-1]), *row[:-1]])
                for prompt, row in zip(prompts, tokens, strict=True)
            ],
            batch_first=True,
            padding_value=text.end,
        )
        more = torch.ones(len(prompts), count, dtype=torch.bool)
        out = language(
            inputs_embeds=embed(fed) + given[:, :count],
            attention_mask=torch.cat([mask, more], 1),
            position_ids=start + longest - pads[:, None] + torch.arange(count)[None],
            past_key_values=cache,
            use_cache=True,
        )
        hidden: Tensor = out.last_hidden_state
        return hidden


def train_vqa(
    model: NanoForConditionalGeneration,
    text: PromptTokenizer,
    found: Sequence[ImageEvidence],
    *,
    settings: VqaConfig,
    folder: Path,
) -> None:
    """Trains the model's answer reader alone; goes on from `folder/vqa.pt`.

    That is of the same language model only: of another one it starts anew.
    """
    reader = model.vqa_head
    if reader is None:
        raise ValueError("the model has no answer reader: configure it with answers=True")
    model.requires_grad_(False)
    reader.requires_grad_(True)
    reader.train()
    lesson = VqaLosses(model, reader, text, found, settings)
    head = nn.Linear(reader.found_width, len(lesson.words))
    learned = [*reader.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(learned, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
    file, language, start = folder / ANSWER, fingerprint(model.language), 0
    state = torch.load(file, weights_only=True) if file.exists() else {}
    if state.get("language") == language and state.get("words") == lesson.words:
        reader.load_state_dict(state["reader"])
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    else:
        lesson.measure_evidence()
    began, losses, right = time.time(), [], {}  # type: ignore[var-annotated]
    for step in range(start, settings.steps):
        scale = min(1.0, (step + 1) / settings.warm_up) * (
            0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.02
        )
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * scale
        random = np.random.default_rng((step, 5))
        written, hits = lesson.write(random)
        guessed, named = lesson.guess(random, head), lesson.name(random)
        optimizer.zero_grad()
        (written + guessed + named).backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append([float(one.detach()) for one in (written, guessed, named)])
        for kind, answers in hits.items():
            right.setdefault(kind, []).extend(answers)
        last = step + 1 == settings.steps
        if (step + 1) % settings.save_every == 0 or last:
            save(
                {
                    "reader": reader.state_dict(),
                    "head": head.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "words": lesson.words,
                    "language": language,
                    "step": step + 1,
                    "settings": asdict(settings),
                },
                file,
            )
        if (step + 1) % settings.log_every == 0 or last:
            told = dict(
                zip(("loss", "guess", "names"), np.mean(losses, axis=0).tolist(), strict=True)
            )
            shares = {kind: float(np.mean(hit)) for kind, hit in sorted(right.items())}
            line = {"step": step + 1, **told, "right": shares, "seconds": time.time() - began}
            with (folder / "vqa.jsonl").open("a") as log:
                print(json.dumps(line), file=log)
            losses.clear()
            right.clear()
    reader.eval()
