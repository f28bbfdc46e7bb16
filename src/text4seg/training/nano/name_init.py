"""A new name begins as what is seen where the user's masks are, not as what its letters resemble.

A name of nano's fusion is one row over the states of cells, so a row for a user's own name can be
found directly: first the known name's that tells the masks best, then as many steps of descent as
help on images held back. Training goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from text4seg.models.nano.fusion import Fusion
    from text4seg.training.nano.finetune_data import FineTuneData

MOST_IMAGES = 200
_AT_ONCE = 16
_FOLDS = 4
_COUNTS = (0, 5, 10, 20, 40, 60)
_RATE = 0.01
_THING = 5.0  # what a cell of the thing weighs, of one beside it; as in nano's own lesson


@dataclass(frozen=True, slots=True)
class NameInit:
    """What a new name began as: the known name that told its masks best, and steps from there."""

    name: str
    known: str
    steps: int


@dataclass(frozen=True, slots=True)
class CellExamples:
    """Cells to tell names by: states `p c w`, how much the names cover `p c n`, weights alike."""

    states: Tensor
    covered: Tensor
    weights: Tensor

    def of(self, images: Tensor) -> CellExamples:
        """Those of some images, given as a mask `p`."""
        return CellExamples(self.states[images], self.covered[images], self.weights[images])

    def loss(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Of every name, `n`."""
        logits = functional.linear(self.states, rows, bias)
        entropy = functional.binary_cross_entropy_with_logits(
            logits, self.covered, reduction="none"
        )
        return (entropy * self.weights).sum((0, 1)) / self.weights.sum((0, 1)).clamp_min(1.0)


def init_names(fusion: Fusion, lessons: FineTuneData, names: Sequence[str]) -> list[NameInit]:
    """Set the fusion's rows of these names, the last ones of its list, from the user's masks."""
    head = fusion.name_head[-1]
    if not names or not isinstance(head, nn.Linear):
        return []
    first = head.out_features - len(names)
    chosen = lessons.images_of(MOST_IMAGES)
    examples = _examples(fusion, lessons, chosen, first)
    with torch.no_grad():
        best = [_nearest(examples, head, name, first) for name in range(len(names))]
    start = head.weight[best].detach().clone(), head.bias[best].detach().clone()
    counts = _counts(examples, start)
    with torch.no_grad():
        for count, (rows, bias) in _descend(examples, start):
            stop = torch.tensor([first + n for n, c in enumerate(counts) if c == count]).long()
            head.weight[stop], head.bias[stop] = rows[stop - first], bias[stop - first]
    known = lessons.known
    return [
        NameInit(name, known[row], count)
        for name, row, count in zip(names, best, counts, strict=True)
    ]


def _examples(
    fusion: Fusion, lessons: FineTuneData, images: Sequence[int], first: int
) -> CellExamples:
    states, covered, asked = [], [], []
    kept = fusion.name_head[0].register_forward_hook(lambda *given: states.append(given[2]))
    try:
        with torch.no_grad():
            for start in range(0, len(images), _AT_ONCE):
                some = list(images[start : start + _AT_ONCE])
                fusion.encode_image(lessons.features[some].float())
                coverage, annotated = lessons.coverage(some)
                covered.append(coverage[:, first:].flatten(2).transpose(1, 2))
                asked.append(annotated[:, None, first:])
    finally:
        kept.remove()
    coverage = torch.cat(covered)
    weights = torch.cat(asked) * (1 + (_THING - 1) * coverage)
    return CellExamples(torch.cat(states).float(), coverage, weights)


def _nearest(examples: CellExamples, head: nn.Linear, name: int, known: int) -> int:
    """The known name whose row tells this one's masks best."""
    asked = examples.weights[:, 0, name] > 0
    logits = functional.linear(examples.states[asked], head.weight[:known], head.bias[:known])
    truth = examples.covered[asked, :, name, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return int((entropy * examples.weights[asked, :, name, None]).mean((0, 1)).argmin())


def _counts(examples: CellExamples, start: tuple[Tensor, Tensor]) -> list[int]:
    """For each name, the steps after which its loss on images held back was least."""
    fold = torch.arange(len(examples.states)) % _FOLDS
    losses = torch.zeros(len(_COUNTS), len(start[0]))
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
    """Rows and biases after each of `_COUNTS` steps of Adam."""
    rows, bias = (part.detach().clone().requires_grad_() for part in start)
    optimiser = torch.optim.Adam([rows, bias], lr=_RATE)
    for step in range(_COUNTS[-1] + 1):
        if step in _COUNTS:
            yield step, (rows.detach().clone(), bias.detach().clone())
        with torch.enable_grad():
            optimiser.zero_grad()
            examples.loss(rows, bias).sum().backward()
            optimiser.step()
