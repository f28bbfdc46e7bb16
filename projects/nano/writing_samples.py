"""Samples of stage 2: prompts and masks as tokens, padded to batches, with what is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from projects.nano.mask_tokens import MaskTokenizer, MaskTokens, corrupt_history
from text4seg.prompts import ANSWER_PREFIX

if TYPE_CHECKING:
    from text4seg.models.nano.text.tokens import PromptTokenizer

_CLOSE = "</seg><|im_end|>"
# Positions of a sample that are scored against the whole vocabulary; the others are scored against
# the tokens of a mask alone, which is all that the grammar allows, and much cheaper.
_FULL_POSITIONS = 24
# Longer bodies (flat text of a long label) are cut here, to bound the time of a step.
_LONGEST_BODY = 560
# Batches of finer grids have a fraction of the samples, and longer ones: without them the positions
# at the end of long texts would never be trained.
FINE_COLS = 24
_FINE_BODY, FINE_FEWER = 1300, 4


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
    longest = _FINE_BODY if truth.shape[1] > FINE_COLS else _LONGEST_BODY
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
