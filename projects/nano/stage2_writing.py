"""Stage 2, writing: the language layers learn to write the fusion's cells as text.

Copying cells into run lengths is a skill of its own, so it is first taught without images: made-up
shapes are given as ideal target logits. Then come images. The fusion is frozen. The true masks are
16x16 cells; on other grids the text to learn is what the fusion predicts there.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from projects.nano.checkpoints import append_log, save_checkpoint, schedule
from projects.nano.mask_tokens import MaskTokenizer, draw_shape
from projects.nano.writing_samples import (
    FINE_COLS,
    FINE_FEWER,
    Sample,
    TokenBatch,
    WritingConfig,
    collate,
    make_sample,
)
from text4seg.prompts import question
from text4seg.training.nano.precision import mixed_precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projects.nano.batches import Batches
    from text4seg.models.nano.modeling import NanoForConditionalGeneration
    from text4seg.models.nano.text.tokens import PromptTokenizer

# Share of the labels of made-up shapes that have an article.
_ARTICLE_SHARE = 0.5
# Of the learning rate, at the end of the cosine.
_FLOOR = 0.02


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
        return max(1, samples // FINE_FEWER) if grid[1] > FINE_COLS else samples

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
