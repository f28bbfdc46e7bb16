"""Interpolation of weights before and after fine-tuning (WiSE-FT).

Fine-tuned on few images, a model may answer worse about names that it knew before. Models between
the weights before and after trade one for the other (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models", section 3). Which of them is kept is chosen on held-out images. Rows of newly
added names are kept in full: they change no other answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from text4seg.training.chats import first_names

if TYPE_CHECKING:
    from jaxtyping import Float64
    from torch import Tensor, nn

    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.nano_model import NanoModel
    from text4seg.training.chats import Chat
    from text4seg.training.nano.finetune_data import FineTuneQuestion

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the way from the weights before to those after that are tried."""

FEWEST_IMAGES = 4
"""Held-out images below which nothing is chosen: the scores would be chance."""

# Coverage from which a cell belongs to the target.
_HALF = 0.5
# The name head's last layer, whose rows are the names.
_NAME_ROWS = "name_head.1."

Weights = Mapping[str, "Tensor"]
"""Parameters by name."""

ScoreFn = Callable[[], "Float64[np.ndarray, ' q']"]
"""Asks the model the held-out questions; returns the IoU of each."""


@dataclass(frozen=True, slots=True)
class Interpolation:
    """The share of the way that was chosen, and what it was chosen by.

    Attributes:
        share: 0 is the model before training (with its new rows), 1 the model after it.
        images: Held-out images; 0 if there were too few to choose by.
        known: Mean IoU at each of `SHARES` of names that the model knew; empty if none was asked.
        own: The same of names that were added.
    """

    share: float
    images: int
    known: Sequence[float] = ()
    own: Sequence[float] = ()

    def __str__(self) -> str:
        if not self.images:
            return f"all that was learned is kept: under {FEWEST_IMAGES} images cannot choose"
        return (
            f"{self.share:.0%} of what was learned is kept, "
            f"which is best on {self.images} images held back"
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return {"shares": SHARES, **asdict(self)}


def hold_back(chats: Sequence[Chat], share: float) -> set[str]:
    """Choose images that are not learned from.

    Args:
        chats: All chats; those about one image are kept together.
        share: Share of the images to hold out.

    Returns:
        File names of the images; empty if there would be fewer than `FEWEST_IMAGES`.
    """
    held = first_names({chat.image.name for chat in chats}, share)
    return held if len(held) >= FEWEST_IMAGES else set()


def weights_of(fusion: nn.Module) -> dict[str, Tensor]:
    """Copy the parameters of a module."""
    return {name: value.detach().clone() for name, value in fusion.named_parameters()}


def blend(fusion: nn.Module, before: Weights, after: Weights, *, share: float, known: int) -> None:
    """Set the weights to a share of the way between two states.

    Args:
        fusion: The module; changed in place.
        before: Its parameters before training.
        after: Its parameters after training.
        share: 0 for `before`, 1 for `after`.
        known: Names before training; rows of the name head behind them are always `after`'s.
    """
    with torch.no_grad():
        for name, value in fusion.named_parameters():
            value.copy_(torch.lerp(before[name], after[name], share))
            # New rows were nothing before training, so there is nothing to interpolate with.
            if name.startswith(_NAME_ROWS):
                value[known:] = after[name][known:]


def interpolate(
    fusion: nn.Module,
    before: Weights,
    scores: ScoreFn,
    *,
    harmless: Sequence[Sequence[bool]],
    known: int,
) -> tuple[float, list[Float64[np.ndarray, " q"]]]:
    """Score every share and leave the module with the best one.

    Args:
        fusion: The module after training; changed in place.
        before: Its parameters before training.
        scores: Scores the module as it is.
        harmless: Groups of questions as masks `q`; none of them may lose on average.
        known: As in `blend`.

    Returns:
        The best share, and the scores at each of `SHARES`.
    """
    # A copy: `blend` overwrites the module that the weights after training are in.
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
    """Select the best of several scorings of the same questions.

    Args:
        scores: Scores `q` of each candidate; the first is what the others are compared with.
        harmless: Groups of questions as masks `q`.

    Returns:
        Place of the best candidate. Another than the first is chosen only if it gains more than
        the standard error of the difference and loses in no group.
    """
    groups = [np.array(group, dtype=bool) for group in harmless if any(group)]
    best, most = 0, 0.0
    for place, found in enumerate(scores):
        # Paired by question: the spread between questions is much larger than that of the gains.
        gains = found - scores[0]
        error = gains.std() / math.sqrt(max(1, len(gains)))
        lossless = all(gains[group].mean() >= 0 for group in groups)
        # A gain within the standard error is chance; then the weights before are the safer choice.
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
    """Interpolate between the model before and after training, by held-out questions.

    Args:
        chat: The model after training; its fusion is changed in place.
        before: The fusion's parameters before training.
        questions: Held-out questions.
        features: Of all images, `images 256 c`.
        names: Names that were added.

    Returns:
        The share that the model now has, and the scores that it was chosen by.
    """
    own = np.array([question.name in names for question in questions], dtype=bool)
    there = np.array([bool((question.cells > _HALF).any()) for question in questions])
    share, found = interpolate(
        chat.model.fusion,
        before,
        lambda: score(chat, questions, features),
        # Two groups, so that fewer false masks of absent things cannot outweigh lost present ones.
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
    """Score the fusion's cells of each question by IoU; 1 where an absent target is left empty.

    Args:
        chat: The model.
        questions: What is asked.
        features: Of all images, `images 256 c`.

    Returns:
        IoU of each question, `q`.
    """
    chat.model.eval()
    # Each image is encoded once for all of its questions.
    paths = sorted({question.image for question in questions})
    with torch.inference_mode():
        images = {
            path: chat.model.fusion.encode_image(features[[path]].to(chat.model.dtype))
            for path in paths
        }
    return np.array([_iou(chat, images[question.image], question) for question in questions])


def _iou(chat: NanoModel, image: ImageState, question: FineTuneQuestion) -> float:
    target = chat.ground(image, question.wording)
    # As in use: nothing is marked if the target counts as absent by its threshold.
    seen = (target.logits[0] > 0).numpy() & (not target.absent)
    truth = (question.cells.flatten() > _HALF).numpy()
    union = int((seen | truth).sum())
    return float((seen & truth).sum() / union) if union else 1.0
