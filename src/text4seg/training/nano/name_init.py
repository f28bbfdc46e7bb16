"""Initial values for the name head's rows of new names, fitted to the user's masks.

The name head is linear: a name is one row over the states of cells. So the row of a new name can
be fitted by itself before training. It starts as a copy of the known row that predicts the masks
best, and takes as many steps of gradient descent as help on held-out images (cross-validation).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from text4seg.training.nano.losses import cell_weights

if TYPE_CHECKING:
    from text4seg.models.nano.fusion import Fusion
    from text4seg.training.nano.finetune_data import FineTuneData

MOST_IMAGES = 200
"""Images that the rows are fitted to; bounds the time and the memory."""

_BATCH = 16
_FOLDS = 4
# Numbers of steps to choose from. A name of few images should stay close to the known row.
_COUNTS = (0, 5, 10, 20, 40, 60)
_LEARNING_RATE = 0.01


@dataclass(frozen=True, slots=True)
class NameInit:
    """How a new name's row was initialised.

    Attributes:
        name: The new name.
        known: The known name whose row was copied.
        steps: Steps of gradient descent from there.
    """

    name: str
    known: str
    steps: int


@dataclass(frozen=True, slots=True)
class CellExamples:
    """What the rows are fitted to.

    Attributes:
        states: Input of the name head in each cell, `p c w`.
        covered: Share of each cell that each name covers, `p c n`.
        weights: Weight of each cell for each name, `p c n`; 0 where the name was not asked about.
    """

    states: Tensor
    covered: Tensor
    weights: Tensor

    def of(self, images: Tensor) -> CellExamples:
        """Select images by a mask `p`."""
        return CellExamples(self.states[images], self.covered[images], self.weights[images])

    def loss(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Get the weighted cross-entropy of each name, `n`."""
        logits = functional.linear(self.states, rows, bias)
        entropy = functional.binary_cross_entropy_with_logits(
            logits, self.covered, reduction="none"
        )
        return (entropy * self.weights).sum((0, 1)) / self.weights.sum((0, 1)).clamp_min(1.0)


def init_names(fusion: Fusion, data: FineTuneData, names: Sequence[str]) -> list[NameInit]:
    """Fit the name head's rows of new names to the user's masks.

    Args:
        fusion: The fusion, whose name head already has rows for the names; changed in place.
        data: The user's questions.
        names: The new names, which are the last ones of the head.

    Returns:
        How each name was initialised; empty without names.
    """
    head = fusion.name_head[-1]
    if not names or not isinstance(head, nn.Linear):
        return []
    first = head.out_features - len(names)
    chosen = data.images_of(MOST_IMAGES)
    examples = _examples(fusion, data, chosen, first)
    with torch.no_grad():
        best = [_nearest(examples, head, name, first) for name in range(len(names))]
    start = head.weight[best].detach().clone(), head.bias[best].detach().clone()
    counts = _counts(examples, start)
    with torch.no_grad():
        for count, (rows, bias) in _descend(examples, start):
            stop = torch.tensor([first + n for n, c in enumerate(counts) if c == count]).long()
            head.weight[stop], head.bias[stop] = rows[stop - first], bias[stop - first]
    known = data.known
    return [
        NameInit(name, known[row], count)
        for name, row, count in zip(names, best, counts, strict=True)
    ]


def _examples(
    fusion: Fusion, data: FineTuneData, images: Sequence[int], first: int
) -> CellExamples:
    states, covered, asked = [], [], []
    # The hook takes what the last layer reads, so that rows can be fitted without the encoder.
    kept = fusion.name_head[0].register_forward_hook(lambda *given: states.append(given[2]))
    try:
        with torch.no_grad():
            for start in range(0, len(images), _BATCH):
                some = list(images[start : start + _BATCH])
                fusion.encode_image(data.features[some].float())
                coverage, annotated = data.coverage(some)
                # Rows of known names stay as they are: refitting them on few images overfits.
                covered.append(coverage[:, first:].flatten(2).transpose(1, 2))
                asked.append(annotated[:, None, first:])
    finally:
        kept.remove()
    coverage = torch.cat(covered)
    weights = torch.cat(asked) * cell_weights(coverage)
    return CellExamples(torch.cat(states).float(), coverage, weights)


def _nearest(examples: CellExamples, head: nn.Linear, name: int, known: int) -> int:
    """Find the known name whose row predicts the masks of a new one best."""
    # All cells of an image have a weight for a name, or none has.
    asked = examples.weights[:, 0, name] > 0
    logits = functional.linear(examples.states[asked], head.weight[:known], head.bias[:known])
    truth = examples.covered[asked, :, name, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return int((entropy * examples.weights[asked, :, name, None]).mean((0, 1)).argmin())


def _counts(examples: CellExamples, start: tuple[Tensor, Tensor]) -> list[int]:
    """Find the number of steps with the least held-out loss, for each name."""
    # Every image is held out once; a fold counts by the weight of its cells.
    fold = torch.arange(len(examples.states)) % _FOLDS
    losses = torch.zeros(len(_COUNTS), len(start[0]))
    # With a single image there is nothing to hold out: all losses are 0, and no step is taken.
    for held in range(min(_FOLDS, len(examples.states)) if len(examples.states) > 1 else 0):
        rest, back = examples.of(fold != held), examples.of(fold == held)
        share = back.weights.sum((0, 1))
        for place, (_, found) in enumerate(_descend(rest, start)):
            with torch.no_grad():
                losses[place] += back.loss(*found) * share
    return [_COUNTS[place] for place in losses.argmin(0).tolist()]


def _descend(
    examples: CellExamples, start: tuple[Tensor, Tensor]
) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """Yield the rows and biases after each of `_COUNTS` steps of Adam."""
    rows, bias = (part.detach().clone().requires_grad_() for part in start)
    optimizer = torch.optim.Adam([rows, bias], lr=_LEARNING_RATE)
    for step in range(_COUNTS[-1] + 1):
        if step in _COUNTS:
            yield step, (rows.detach().clone(), bias.detach().clone())
        # The caller may be inside `no_grad` between two yields.
        with torch.enable_grad():
            optimizer.zero_grad()
            examples.loss(rows, bias).sum().backward()
            optimizer.step()
