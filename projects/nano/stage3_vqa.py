"""Stage 3, answers in words: a small head passes the fusion's evidence to the language model.

Everything else is frozen, so masks do not change. The evidence of all questions is collected once,
from augmented images and with a weakened detector (which fits its own training images too well);
the head then learns from it through the frozen language model.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from projects.nano.checkpoints import append_log, save_checkpoint, schedule
from projects.nano.vqa_evidence import ImageEvidence, fingerprint
from text4seg.models.nano.text.question_types import QUESTION_TYPES
from text4seg.models.nano.vqa_head import SLOTS, VqaHead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from text4seg.models.nano.modeling import NanoForConditionalGeneration
    from text4seg.models.nano.text.tokens import PromptTokenizer

ANSWER = "vqa.pt"
# Share of the lists of names that are replaced by random lists.
_RANDOM_LISTS = 0.5
# Of the learning rate, at the end of the cosine.
_FLOOR = 0.02
_LISTS = ("names", "name")


@dataclass(frozen=True, slots=True)
class VqaConfig:
    """Settings of the stage.

    Attributes:
        images: Images that evidence is collected from.
        steps: Optimizer steps.
        images_a_step: Images of the written answers of a step.
        questions_a_image: Questions of each of them.
        guesses: Questions of the auxiliary classifier in a step.
        named: Images whose present names are predicted in a step.
        learning_rate: Peak of AdamW's learning rate.
        weight_decay: Of AdamW.
        warm_up: Steps until the peak.
        save_every: Steps between checkpoints.
        log_every: Steps between lines of the log.
    """

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


class VqaLosses:
    """Computes the losses of a step from collected evidence."""

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
        guessed = [(p, q) for p, q in places if found[p].kinds[q] not in _LISTS]
        self._evidence = torch.stack([found[p].evidence[q] for p, q in guessed]).float()
        self._kinds = torch.tensor([QUESTION_TYPES.index(found[p].kinds[q]) for p, q in guessed])
        self.words = sorted({found[p].answers[q] for p, q in guessed})
        self._words = torch.tensor([self.words.index(found[p].answers[q]) for p, q in guessed])

    def measure_evidence(self) -> None:
        """Set the reader's mean and deviation of each number of the evidence."""
        known = self._evidence[~self._evidence.isnan().any(-1)]
        self._reader.mean.copy_(known.mean(0))
        self._reader.deviation.copy_(known.std(0).clamp_min(1e-3))

    def read(self, evidence: Tensor, kinds: Tensor) -> Tensor:
        """Read evidence with the head; missing evidence is replaced by the mean."""
        evidence = torch.where(evidence.isnan(), self._reader.mean, evidence)
        return self._reader.find(evidence, kinds)

    def guess(self, random: np.random.Generator, head: nn.Module) -> Tensor:
        """Get the loss of an auxiliary classifier of answers.

        It needs no language model, so a step has many more of these questions; the classifier is
        thrown away after training.
        """
        rows = torch.from_numpy(random.integers(len(self._words), size=self._settings.guesses))
        read = self.read(self._evidence[rows], self._kinds[rows])
        return functional.cross_entropy(head(read), self._words[rows])

    def name(self, random: np.random.Generator) -> Tensor:
        """Get the loss of which known names are present, where that is annotated."""
        rows = random.integers(len(self._found), size=self._settings.named)
        features = torch.stack([self._found[row].names for row in rows]).float()
        present = torch.stack([self._found[row].present for row in rows])
        known = present >= 0
        logits = self._reader.name(features)[known]
        return functional.binary_cross_entropy_with_logits(logits, present[known].float())

    def write(self, random: np.random.Generator) -> tuple[Tensor, dict[str, list[bool]]]:
        """Get the loss of answers written by the language model, and which were right, by kind."""
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
        # Every answer counts alike, however long.
        return (loss / per_answer).sum() / len(rows), right

    def _answer(self, one: ImageEvidence, q: int, random: np.random.Generator) -> str:
        """Get the answer; half of the lists of names are replaced by random ones.

        The head is given the list to write, so any list can be learned, and none by heart.
        """
        if one.kinds[q] in _LISTS and random.random() < _RANDOM_LISTS:
            names = random.choice(self._model.config.names, size=random.integers(1, 5))
            return ", ".join(map(str, names))
        return one.answers[q]

    def _given(
        self, chosen: Sequence[tuple[ImageEvidence, int]], tokens: list[list[int]]
    ) -> Tensor:
        evidence = torch.stack([one.evidence[q] for one, q in chosen]).float()
        kinds = torch.tensor([QUESTION_TYPES.index(one.kinds[q]) for one, q in chosen])
        slots = self._reader.say(self.read(evidence, kinds))
        longest = max(SLOTS, *map(len, tokens))
        slots = functional.pad(slots, (0, 0, 0, longest - SLOTS))
        rows = []
        for (one, q), slot, row in zip(chosen, slots, tokens, strict=True):
            given = slot
            if one.kinds[q] in _LISTS:
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
        """Compute the hidden states `q t d` from which the answers' tokens are chosen.

        The image and the question before them are read once and without gradients, since nothing
        in them is trained.
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
    """Train the head of answers in words.

    Args:
        model: The model; only its head is trained.
        text: Its tokenizer.
        found: Evidence of all images.
        settings: Settings of the stage.
        folder: Keeps `vqa.jsonl` and `vqa.pt`. A stopped training goes on from there if the
            language model and the answers are the same, and starts anew if not.

    Raises:
        ValueError: The model has no such head.
    """
    reader = model.vqa_head
    if reader is None:
        raise ValueError("the model has no answer reader: configure it with answers=True")
    model.requires_grad_(False)
    reader.requires_grad_(True)
    reader.train()
    losses_of = VqaLosses(model, reader, text, found, settings)
    head = nn.Linear(reader.found_width, len(losses_of.words))
    learned = [*reader.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(learned, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
    file, language, start = folder / ANSWER, fingerprint(model.language), 0
    state = torch.load(file, weights_only=True) if file.exists() else {}
    if state.get("language") == language and state.get("words") == losses_of.words:
        reader.load_state_dict(state["reader"])
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    else:
        losses_of.measure_evidence()
    began, losses, right = time.time(), [], {}  # type: ignore[var-annotated]
    for step in range(start, settings.steps):
        scale = schedule(step, settings.steps, warm_up=settings.warm_up, floor=_FLOOR)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * scale
        random = np.random.default_rng((step, 5))
        written, hits = losses_of.write(random)
        guessed, named = losses_of.guess(random, head), losses_of.name(random)
        optimizer.zero_grad()
        (written + guessed + named).backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append([float(one.detach()) for one in (written, guessed, named)])
        for kind, answers in hits.items():
            right.setdefault(kind, []).extend(answers)
        last = step + 1 == settings.steps
        if (step + 1) % settings.save_every == 0 or last:
            save_checkpoint(
                {
                    "reader": reader.state_dict(),
                    "head": head.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "words": losses_of.words,
                    "language": language,
                    "step": step + 1,
                    "settings": asdict(settings),
                },
                file,
            )
        if (step + 1) % settings.log_every == 0 or last:
            figures = dict(
                zip(("loss", "guess", "names"), np.mean(losses, axis=0).tolist(), strict=True)
            )
            shares = {kind: float(np.mean(hit)) for kind, hit in sorted(right.items())}
            line = {"step": step + 1, **figures, "right": shares, "seconds": time.time() - began}
            append_log(folder / "vqa.jsonl", line)
            losses.clear()
            right.clear()
    reader.eval()
