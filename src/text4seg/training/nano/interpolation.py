"""How much of what nano learned it keeps, chosen on images that it did not learn from.

Fine-tuned on few images, a model may answer worse about what it knew before. On the line between
its weights before and after lie models that have learned a share of it (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models"); the images held back tell which of them to keep. Rows of
the user's own names are kept in full: they change nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from text4seg.training.conversations import first_names

if TYPE_CHECKING:
    from jaxtyping import Float64
    from torch import Tensor, nn

    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.nano_model import NanoModel
    from text4seg.training.conversations import Chat
    from text4seg.training.nano.finetune_data import FineTuneQuestion

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
FEWEST_IMAGES = 4
_HALF = 0.5  # a cell is the thing's where the thing covers so much of it
_OWN_ROWS = "name_head.1."

Weights = Mapping[str, "Tensor"]
Scores = Callable[[], "Float64[np.ndarray, ' q']"]
"""Asks the model as it is the questions held back; the IoU of each."""


@dataclass(frozen=True, slots=True)
class Interpolation:
    """The share of what was learned that is kept.

    Attributes:
        share: 0 is the model before (but for rows of own names), 1 all that was learned.
        images: How many were held back; 0 if they would have been too few to tell.
        known: Mean IoU of each of `SHARES` about names that the model knew; empty if unasked.
        own: The same of names that were added.
    """

    share: float
    images: int
    known: Sequence[float] = ()
    own: Sequence[float] = ()

    def __str__(self) -> str:
        if not self.images:
            return f"all that was learned is kept: under {FEWEST_IMAGES} images cannot interpolate"
        return (
            f"{self.share:.0%} of what was learned is kept, "
            f"which is best on {self.images} images held back"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"shares": SHARES, **asdict(self)}


def hold_back(chats: Sequence[Chat], share: float) -> set[str]:
    """Names of the images not to learn from; none where they are too few to interpolate by."""
    held = first_names({chat.image.name for chat in chats}, share)
    return held if len(held) >= FEWEST_IMAGES else set()


def weights_of(fusion: nn.Module) -> dict[str, Tensor]:
    """A copy of all that is trained."""
    return {name: value.detach().clone() for name, value in fusion.named_parameters()}


def blend(fusion: nn.Module, before: Weights, after: Weights, *, share: float, known: int) -> None:
    """Set the weights to a share of the way; rows behind the `known` names' to all of it."""
    with torch.no_grad():
        for name, value in fusion.named_parameters():
            value.copy_(torch.lerp(before[name], after[name], share))
            if name.startswith(_OWN_ROWS):
                value[known:] = after[name][known:]


def interpolate(
    fusion: nn.Module,
    before: Weights,
    scores: Scores,
    *,
    harmless: Sequence[Sequence[bool]],
    known: int,
) -> tuple[float, list[Float64[np.ndarray, " q"]]]:
    """Ask with every share, leave the model with the best; that share, and the scores of each.

    `harmless` are groups of questions, each of which may not lose.
    """
    after, found = weights_of(fusion), []
    for share in SHARES:
        blend(fusion, before, after, share=share, known=known)
        found.append(scores())
    best = SHARES[select_best(found, harmless)]
    blend(fusion, before, after, share=best, known=known)
    return best, found


def select_best(
    scores: Sequence[Float64[np.ndarray, " q"]], harmless: Sequence[Sequence[bool]]
) -> int:
    """The place of the best scores; the first ones are kept unless others are surely better.

    Better by more than the standard error of the difference, with no loss in any group.
    """
    groups = [np.array(group, dtype=bool) for group in harmless if any(group)]
    best, most = 0, 0.0
    for place, found in enumerate(scores):
        gains = found - scores[0]
        error = gains.std() / math.sqrt(max(1, len(gains)))
        lossless = all(gains[group].mean() >= 0 for group in groups)
        if lossless and gains.mean() > max(most, error):
            best, most = place, float(gains.mean())
    return best


def interpolate_on(
    chat: NanoModel,
    before: Weights,
    questions: Sequence[FineTuneQuestion],
    *,
    features: Tensor,
    names: Sequence[str],
) -> Interpolation:
    """Choose by questions held back; `features images 256 c`, `names` are those that were added."""
    own = np.array([question.name in names for question in questions], dtype=bool)
    there = np.array([bool((question.cells > _HALF).any()) for question in questions])
    share, found = interpolate(
        chat.model.fusion,
        before,
        lambda: score(chat, questions, features),
        # Apart: fewer absent things named would else outweigh present ones that are lost.
        harmless=[(~own & there).tolist(), (~own & ~there).tolist()],
        known=len(chat.model.config.names) - len(names),
    )
    of_known, of_own = (
        tuple(float(row[some].mean()) for row in found if some.any()) for some in (~own, own)
    )
    return Interpolation(share, len({question.image for question in questions}), of_known, of_own)


def score(
    chat: NanoModel, questions: Sequence[FineTuneQuestion], features: Tensor
) -> Float64[np.ndarray, " q"]:
    """IoU of the cells where the fusion sees each thing; 1 where an absent one is left empty."""
    chat.model.eval()
    paths = sorted({question.image for question in questions})
    with torch.inference_mode():
        images = {
            path: chat.model.fusion.encode_image(features[[path]].to(chat.model.dtype))
            for path in paths
        }
    return np.array([_iou(chat, images[question.image], question) for question in questions])


def _iou(chat: NanoModel, image: ImageState, question: FineTuneQuestion) -> float:
    target = chat.ground(image, question.wording)
    seen = (target.logits[0] > 0).numpy() & (not target.absent)
    truth = (question.cells.flatten() > _HALF).numpy()
    union = int((seen | truth).sum())
    return float((seen & truth).sum() / union) if union else 1.0
