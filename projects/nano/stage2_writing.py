"""Stage 2, writing: the language layers learn to write the fusion's cells as text.

Copying cells into run lengths is a skill of its own, so it is first taught without images: made-up
shapes are given as ideal target logits. Then come images. The fusion is frozen. The true masks are
16x16 cells; on other grids the text to learn is what the fusion predicts there.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from projects.nano.checkpoints import append_log, save_checkpoint, schedule
from projects.nano.mask_tokens import MaskTokenizer, MaskTokens, corrupt_history, draw_shape
from text4seg.prompts import ANSWER_PREFIX, question
from text4seg.training.nano.precision import mixed_precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projects.nano.batches import Batches
    from text4seg.models.nano.modeling import NanoForConditionalGeneration
    from text4seg.models.nano.text.tokens import PromptTokenizer

_CLOSE = "</seg><|im_end|>"
# Positions of a sample that are scored against the whole vocabulary; the others are scored against
# the tokens of a mask alone, which is all that the grammar allows, and much cheaper.
_FULL_POSITIONS = 24
# Longer bodies (flat text of a long label) are cut here, to bound the time of a step.
_LONGEST_BODY = 560
# Batches of finer grids have a fraction of the samples, and longer ones: without them the positions
# at the end of long texts would never be trained.
_FINE_COLS = 24
_FINE_BODY, _FINE_FEWER = 1300, 4
# Share of the labels of made-up shapes that have an article.
_ARTICLE_SHARE = 0.5
# Of the learning rate, at the end of the cosine.
_FLOOR = 0.02


@dataclass(frozen=True, slots=True)
class WritingConfig:
    """Settings of the stage.

    Attributes:
        shape_steps: Steps on made-up shapes.
        image_steps: Steps on images after them.
        samples: Samples of a step, on grids up to 24 columns.
        learning_rate: Peak for the language layers.
        reader_rate: Peak for the cell reader and the image projector.
        run_rate: Peak for the reader of run lengths, which starts from zero.
        warm_up: Steps until the peak.
        runs_share: Share of the steps in the format of runs; the others are flat.
        wrong_share: Share of the samples with a wrong history.
        target_weight: Weight of tokens where the label is to be written.
        overlap_weight: Weight of the Dice loss of flat samples.
        full_weight: Weight of the loss over the whole vocabulary.
        digits_weight: Weight of tokens where a digit of a run length is to be written.
        background_weight: Weight of rows without target.
        seen_share: Share of the samples whose text is what the fusion predicts, not the true mask.
        grids: Rows, columns and share of the steps of each grid.
        save_every: Steps between checkpoints.
        log_every: Steps between lines of the log.
    """

    shape_steps: int = 150
    image_steps: int = 600
    samples: int = 8
    learning_rate: float = 3e-4
    reader_rate: float = 1e-3
    run_rate: float = 3e-3
    warm_up: int = 30
    runs_share: float = 0.65
    wrong_share: float = 0.4
    target_weight: float = 1.5
    overlap_weight: float = 0.5
    full_weight: float = 0.1
    digits_weight: float = 1.0
    background_weight: float = 1.0
    seen_share: float = 0.6
    grids: tuple[tuple[int, int, float], ...] = (
        (16, 16, 0.6),
        (32, 32, 0.14),
        (64, 64, 0.1),
        (16, 64, 0.06),
        (24, 24, 0.05),
        (8, 8, 0.05),
    )
    save_every: int = 50
    log_every: int = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer to learn.

    Attributes:
        prompt: Tokens before the mask's body.
        body: Tokens of the body with what they should have been.
        choices: Tokens that the mask may be made of (`MaskTokenizer.choices`).
        truth: The mask to write, `r c`.
        flat: Whether it is written cell by cell.
    """

    prompt: list[int]
    body: MaskTokens
    choices: list[int]
    truth: np.ndarray
    flat: bool


def make_sample(
    text: PromptTokenizer,
    writer: MaskTokenizer,
    *,
    label: str,
    wording: str,
    truth: np.ndarray,
    guess: np.ndarray,
    runs: bool,
    random: np.random.Generator,
    settings: WritingConfig,
) -> Sample:
    """Make a sample: a prompt, and the text of `truth`, sometimes after a wrong history."""
    wrong = random.random() < settings.wrong_share
    history = truth
    if wrong:
        history = corrupt_history(truth, guess, random)
    body = (writer.runs if runs else writer.flat)(truth, history, label)
    prompt = text.prompt(wording, ANSWER_PREFIX)
    longest = _FINE_BODY if truth.shape[1] > _FINE_COLS else _LONGEST_BODY
    return Sample(prompt, body.cut(longest), writer.choices(label), truth, not runs)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Samples of one grid as tensors, with n choices that are scored.

    Attributes:
        ids: Padded tokens, `b t`.
        pointers: Cell that each token writes, `b t 3`.
        at: Flat index of the token before each choice, `n`.
        target: Index of the right token among the choices, `n`.
        weight: Weight in the loss, `n`.
        choices: Tokens to choose from, `n c`.
        full_at: Flat indices scored against the whole vocabulary.
        full_target: The right tokens there.
    """

    ids: Tensor
    pointers: Tensor
    at: Tensor
    target: Tensor
    weight: Tensor
    choices: Tensor
    full_at: Tensor
    full_target: Tensor


def collate(
    samples: list[Sample],
    text: PromptTokenizer,
    writer: MaskTokenizer,
    random: np.random.Generator,
    settings: WritingConfig,
) -> TokenBatch:
    """Pad samples of one grid and list the choices that are scored."""
    closing = text.encode(_CLOSE)
    endings = [closing if sample.body.whole else [] for sample in samples]
    rows = [s.prompt + s.body.tokens + ending for s, ending in zip(samples, endings, strict=True)]
    length = max(map(len, rows))
    ids = torch.tensor([row + [text.end] * (length - len(row)) for row in rows])
    grid = samples[0].truth.shape
    pointers = torch.tensor([text.cell_tracker.pointers(row, *grid) for row in ids.tolist()])
    at, target, weight, choices, full_at, full_target = [], [], [], [], [], []
    for index, sample in enumerate(samples):
        base = index * length + len(sample.prompt) - 1
        lookup = {token: place for place, token in reversed(list(enumerate(sample.choices)))}
        weights = weigh(sample, writer, settings)
        for offset, (wanted, decides) in enumerate(
            zip(sample.body.targets, sample.body.decides, strict=True)
        ):
            if decides:
                at.append(base + offset)
                target.append(lookup[wanted])
                weight.append(weights[offset])
                choices.append(sample.choices)
        whole = sample.body.targets + endings[index]
        # Where the history is wrong the text behind it is not what the model would write.
        true = np.array(sample.body.tokens + endings[index]) == np.array(whole)
        places = random.permutation(np.flatnonzero(true))[:_FULL_POSITIONS]
        full_at += [base + int(place) for place in places]
        full_target += [whole[place] for place in places]
    return TokenBatch(
        ids,
        pointers,
        torch.tensor(at),
        torch.tensor(target),
        torch.tensor(weight),
        torch.tensor(choices),
        torch.tensor(full_at),
        torch.tensor(full_target),
    )


def weigh(sample: Sample, writer: MaskTokenizer, settings: WritingConfig) -> list[float]:
    """Weigh each token of the body by what is to be written and by the row it is in."""
    kinds = dict.fromkeys(writer.digits, settings.digits_weight)
    kinds |= dict.fromkeys((sample.choices[1], sample.choices[3]), settings.target_weight)
    rows = [1.0 if row.any() else settings.background_weight for row in sample.truth]
    row, weights = 0, []
    for token, wanted in zip(sample.body.tokens, sample.body.targets, strict=True):
        weights.append(kinds.get(wanted, 1.0) * rows[row])
        row += token == writer.newline and row + 1 < len(rows)
    return weights


def writing_loss(
    model: NanoForConditionalGeneration,
    batch: TokenBatch,
    samples: list[Sample],
    *,
    image_embeddings: Tensor | None,
    states: Tensor,
    logits: Tensor,
    settings: WritingConfig,
) -> tuple[Tensor, float]:
    """Compute the loss of a batch and the share of right choices.

    Args:
        model: The model.
        batch: The samples as tensors.
        samples: The samples.
        image_embeddings: Image tokens of the prompts; None for made-up shapes.
        states: States of the fusion's cells, on the samples' grid.
        logits: Target logits of the cells.
        settings: Settings of the stage.

    Returns:
        The loss and the share.
    """
    with mixed_precision():
        embedded = model.language.embed_tokens(batch.ids)
        if image_embeddings is not None:
            places = batch.ids == model.config.image_token
            embedded = embedded.masked_scatter(
                places[..., None], image_embeddings.to(embedded.dtype)
            )
        grid = samples[0].truth.shape
        embedded = embedded + model.read_cells(states, logits, batch.pointers, grid, resampled=True)
        hidden = model.language(inputs_embeds=embedded, use_cache=False).last_hidden_state.flatten(
            0, 1
        )
        vocabulary = model.language.embed_tokens.weight
        full = hidden[batch.full_at] @ vocabulary.T
    # Every choice has its own few tokens, so this is no matrix product with the vocabulary.
    narrow = torch.einsum("nd,ncd->nc", hidden[batch.at].float(), vocabulary[batch.choices].float())
    entropy = functional.cross_entropy(narrow, batch.target, reduction="none")
    loss = (entropy * batch.weight).sum() / batch.weight.sum()
    loss = loss + settings.full_weight * functional.cross_entropy(full.float(), batch.full_target)
    loss = loss + settings.overlap_weight * overlap_loss(narrow, samples)
    right = (narrow.argmax(-1) == batch.target).float().mean()
    return loss, float(right)


def overlap_loss(narrow: Tensor, samples: list[Sample]) -> Tensor:
    """Compute one minus soft Dice of the cells' target probabilities.

    Only flat samples with a target count: in runs a token is no cell.
    """
    start, losses = 0, []
    for sample in samples:
        count = sum(sample.body.decides)
        if sample.flat and sample.truth.any():
            here = narrow[start : start + count]
            # Choices 0 and 2 are the word others, 1 and 3 the label: after a space, at the start.
            # A body that was cut has fewer cells than the mask.
            probability = (
                torch.maximum(here[:, 1], here[:, 3]) - torch.maximum(here[:, 0], here[:, 2])
            ).sigmoid()
            truth = torch.from_numpy(sample.truth.reshape(-1)[:count]).float()
            losses.append(
                1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
            )
        start += count
    return torch.stack(losses).mean() if losses else narrow.new_zeros(())


class BatchSampler:
    """Draws what a step learns from, and computes its loss."""

    def __init__(
        self,
        model: NanoForConditionalGeneration,
        text: PromptTokenizer,
        batches: Batches,
        labels: list[str],
        settings: WritingConfig,
    ) -> None:
        self._model, self._text, self._batches, self._labels, self._settings = (
            model,
            text,
            batches,
            labels,
            settings,
        )
        self._writer = MaskTokenizer(text)

    def shapes(self, seed: int) -> tuple[Tensor, float]:
        """Get the loss and the share of right choices of made-up shapes."""
        random = np.random.default_rng((seed, 1))
        grid, runs = self._form(random)
        truths = [draw_shape(random) for _ in range(self._count(grid))]
        guess = np.stack([_ideal_logits(truth, random) for truth in truths])
        states = torch.zeros(len(truths), guess[0].size, self._model.config.fusion_width)
        logits = torch.from_numpy(guess).float().flatten(1)
        states, logits = self._model.resample(states, logits, grid)
        guesses = logits.unflatten(1, grid).numpy()
        labels = [
            f"the {label}" if random.random() < _ARTICLE_SHARE else label
            for label in random.choice(self._labels, len(truths))
        ]
        samples = [
            self._sample(str(label), truth, near, random, runs=runs)
            for label, truth, near in zip(labels, truths, guesses, strict=True)
        ]
        return self._loss(samples, random, None, states, logits)

    def images(self, seed: int) -> tuple[Tensor, float]:
        """Get the loss and the share of right choices of images with questions."""
        random = np.random.default_rng((seed, 2))
        grid, runs = self._form(random)
        batch = self._batches.draw(seed + 1_000_000)
        kept = random.permutation(len(batch.expressions))[: self._count(grid)]
        expressions = [batch.expressions[index] for index in kept]
        wordings = [question(e, index=int(i)) for i, e in zip(kept, expressions, strict=True)]
        with torch.no_grad(), mixed_precision():
            image = self._model.fusion.encode_image(batch.features)
            ids, mask = self._pad([self._text.encode(wording) for wording in wordings])
            states, logits = self._model.ground(image.select(batch.image[kept]), ids, mask)
            states, logits = self._model.resample(states.float(), logits.float(), grid)
        guesses = logits.unflatten(1, grid).numpy()
        samples = [
            self._sample(e, truth, guess, random, runs=runs, wording=wording)
            for e, truth, guess, wording in zip(
                expressions, batch.cells[kept].numpy() > 0, guesses, wordings, strict=True
            )
        ]
        with mixed_precision():
            images = self._model.image_embeddings(image)[batch.image[kept]]
        return self._loss(samples, random, images, states, logits)

    def _form(self, random: np.random.Generator) -> tuple[tuple[int, int], bool]:
        """Draw the grid of a step, and whether its text is in runs.

        A step has one format: runs are four times shorter, and padding costs as much as text.
        """
        *shapes, shares = zip(*self._settings.grids, strict=True)
        rows, cols = list(zip(*shapes, strict=True))[
            random.choice(len(shares), p=np.array(shares) / sum(shares))
        ]
        return (rows, cols), bool(random.random() < self._settings.runs_share)

    def _count(self, grid: tuple[int, int]) -> int:
        samples = self._settings.samples
        return max(1, samples // _FINE_FEWER) if grid[1] > _FINE_COLS else samples

    def _target(
        self, truth: np.ndarray, guess: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Choose what is to be written, on the grid of `guess`: the true mask or the predicted one.

        The language layers see nothing but what the fusion gives them. Trained to correct it, they
        would learn to guess; trained to copy it, their text is as good as the fusion's cells.
        Of an absent target nothing is to be written.
        """
        if not truth.any():
            return np.zeros(guess.shape, dtype=bool)
        if guess.shape == truth.shape and random.random() >= self._settings.seen_share:
            return truth
        return np.asarray(guess > 0)

    def _sample(
        self,
        label: str,
        truth: np.ndarray,
        guess: np.ndarray,
        random: np.random.Generator,
        *,
        runs: bool,
        wording: str = "",
    ) -> Sample:
        wording = wording or question(label, index=int(random.integers(5)))
        return make_sample(
            self._text,
            self._writer,
            label=label,
            wording=wording,
            truth=self._target(truth, guess, random),
            guess=guess,
            runs=runs,
            random=random,
            settings=self._settings,
        )

    def _loss(
        self,
        samples: list[Sample],
        random: np.random.Generator,
        images: Tensor | None,
        states: Tensor,
        logits: Tensor,
    ) -> tuple[Tensor, float]:
        batch = collate(samples, self._text, self._writer, random, self._settings)
        return writing_loss(
            self._model,
            batch,
            samples,
            image_embeddings=images,
            states=states,
            logits=logits,
            settings=self._settings,
        )

    @staticmethod
    def _pad(ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        pad = torch.nn.utils.rnn.pad_sequence
        return (
            pad([torch.tensor(row) for row in ids], batch_first=True),
            pad([torch.ones(len(row), dtype=torch.bool) for row in ids], batch_first=True),
        )


def _ideal_logits(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    certain = (truth * 2.0 - 1.0) * random.uniform(2.0, 6.0)
    return np.asarray(certain + random.normal(0, 0.5, truth.shape), dtype=np.float32)


def train_decoder(
    model: NanoForConditionalGeneration,
    sampler: BatchSampler,
    *,
    settings: WritingConfig,
    folder: Path,
    check: Callable[[], dict[str, Any]] | None = None,
) -> None:
    """Train the readers, the projector and the language layers, but not the token embedding.

    Args:
        model: The model; its fusion stays as it is.
        sampler: Draws the batches and computes their loss.
        settings: Settings of the stage.
        folder: Keeps `writing.pt`, from which a stopped training goes on, and `writing.jsonl`.
        check: Validates the model; its scores go into the log.
    """
    model.fusion.requires_grad_(False)
    model.language.embed_tokens.requires_grad_(False)
    fresh = [*model.reader.parameters(), *model.image_projector.parameters()]
    runs = [] if model.run_reader is None else list(model.run_reader.parameters())
    grown = [p for p in model.language.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": grown, "rate": settings.learning_rate},
            {"params": fresh, "rate": settings.reader_rate},
            {"params": runs, "rate": settings.run_rate},
        ],
        weight_decay=0.01,
        betas=(0.9, 0.98),
    )
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    file, start = folder / "writing.pt", 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(state["trained"][name])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    steps = settings.shape_steps + settings.image_steps
    began, recent = time.time(), []
    for step in range(start, steps):
        scale = schedule(step, steps, warm_up=settings.warm_up, floor=_FLOOR)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * scale
        loss, right = (sampler.shapes if step < settings.shape_steps else sampler.images)(step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        recent.append((float(loss.detach()), right))
        last = step + 1 == steps
        saves = (step + 1) % settings.save_every == 0 or last
        if saves:
            save_checkpoint(
                {
                    "trained": trained,
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                    "settings": asdict(settings),
                },
                file,
            )
        if (step + 1) % settings.log_every == 0 or last:
            mean = np.mean(recent, axis=0)
            line: dict[str, Any] = {
                "step": step + 1,
                "loss": float(mean[0]),
                "right": float(mean[1]),
                "seconds": time.time() - began,
            }
            recent.clear()
            line |= check() if check and saves else {}
            append_log(folder / "writing.jsonl", line)
