"""Aliases: a user's word for a kind of thing that nano knows by another name.

A few images cannot teach what a known name learned from thousands. So before any training, nano is
asked about the images of each new word by the names that it knows. If one of them finds the masks
(`Hose`, German for trousers, by `pants`), the word is read as that name, and training starts there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from text4seg.prompts import question as wording_of
from text4seg.training.nano.losses import cell_weights

if TYPE_CHECKING:
    from torch import Tensor

    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.nano_model import NanoModel
    from text4seg.training.nano.finetune_data import FineTuneQuestion

# Questions that are asked about a word: bounds the time a word takes.
_MOST_QUESTIONS = 24
# Names tried, by loss and as many by overlap: only these are asked in full.
_CANDIDATES = 8
# Coverage from which a cell belongs to the target.
_HALF = 0.5
# IoU that half of the images with the target have to reach for a name to be taken.
_FOUND = 0.25


def find_aliases(
    chat: NanoModel,
    questions: Sequence[FineTuneQuestion],
    features: Tensor,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Find the known names that words of the questions are to be read as.

    Args:
        chat: The model, not yet fine-tuned.
        questions: The user's questions, some of them about absent things.
        features: Of all images, `images 256 c`.
        progress: Called with the number of words done and of all words.

    Returns:
        Names by word. A word is left out if no name finds its masks, or none better than the word
        itself does.
    """
    if chat.reader is None:
        return {}  # without a phrase reader the model takes every question word by word
    asked: dict[str, list[FineTuneQuestion]] = defaultdict(list)
    for one in questions:
        if one.name is not None and one.name not in chat.model.config.names:
            asked[one.name].append(one)
    # A word that is never present in these images cannot be told from any other.
    words = {word: _some(given) for word, given in asked.items() if _present(given)}
    search, found = _Search(chat, features), {}
    for count, (word, given) in enumerate(words.items()):
        if progress:
            progress(count, len(words))
        found[word] = search.name_of(given)
    return {word: name for word, name in found.items() if name is not None}


def _some(questions: Sequence[FineTuneQuestion]) -> list[FineTuneQuestion]:
    """Choose some; half of them about absent things, so that a name for everything is not best."""
    away = [one for one in questions if not one.cells.any()]
    return _present(questions)[: _MOST_QUESTIONS // 2] + away[: _MOST_QUESTIONS // 2]


def _present(questions: Sequence[FineTuneQuestion]) -> list[FineTuneQuestion]:
    return [one for one in questions if one.cells.any()]


class _Search:
    """Asks by names; encodes each image once, and asks it by each name once."""

    def __init__(self, chat: NanoModel, features: Tensor) -> None:
        self._chat, self._features = chat, features
        self._names: Sequence[str] = chat.model.config.names
        self._images: dict[int, ImageState] = {}
        self._asked: dict[tuple[int, str], Tensor] = {}

    def name_of(self, questions: Sequence[FineTuneQuestion]) -> str | None:
        """Find the name that finds these masks best; None if none does, or the word itself does."""
        truth = torch.stack([one.cells.flatten() for one in questions])
        names = [self._names[place] for place in self._candidates(truth, questions)]
        wordings = [[wording_of(f"the {name}")] * len(questions) for name in names]
        # The user's own wording comes first, so that a name has to be better than it.
        wordings.insert(0, [one.wording for one in questions])
        found = [self._logits(questions, asked) for asked in wordings]
        # By the loss and not by IoU, which ignores how sure the model is of absent targets.
        losses = [float(_entropy(logits, truth).sum()) for logits in found]
        best = min(range(len(found)), key=losses.__getitem__)
        return names[best - 1] if best and _overlap(found[best], truth) >= _FOUND else None

    def _logits(self, questions: Sequence[FineTuneQuestion], wordings: Sequence[str]) -> Tensor:
        """Get the target logits `q 256`."""
        for one, wording in zip(questions, wordings, strict=True):
            key = one.image, wording
            if key not in self._asked:
                target = self._chat.ground(self._image(one.image), wording)
                self._asked[key] = target.logits[0].float()
        pairs = zip(questions, wordings, strict=True)
        return torch.stack([self._asked[one.image, wording] for one, wording in pairs])

    def _image(self, image: int) -> ImageState:
        if image not in self._images:
            features = self._features[[image]].to(self._chat.model.dtype)
            with torch.inference_mode():
                self._images[image] = self._chat.model.fusion.encode_image(features)
        return self._images[image]

    def _candidates(self, truth: Tensor, questions: Sequence[FineTuneQuestion]) -> list[int]:
        """Rank names by the name head alone, which needs no question: by loss, and by overlap."""
        seen = torch.cat([self._image(one.image).names for one in questions]).float()  # q 256 names
        losses = _entropy(seen, truth[..., None].expand_as(seen)).sum((0, 1))
        # Soft IoU: a name may be found everywhere a little, which a threshold would hide.
        shares, there = seen.sigmoid(), truth[..., None]
        both = (shares * there).sum(1)
        overlaps = (both / ((shares + there).sum(1) - both))[truth.any(1)].mean(0)
        count = min(_CANDIDATES, len(losses))
        near = [*(-losses).topk(count).indices.tolist(), *overlaps.topk(count).indices.tolist()]
        return list(dict.fromkeys(near))


def _entropy(logits: Tensor, truth: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return entropy * cell_weights(truth)


def _overlap(logits: Tensor, truth: Tensor) -> float:
    """Median IoU of the questions whose target is present.

    With the mean, a word for several kinds would be read as the kind that is found best.
    """
    seen, there = logits > 0, truth > _HALF
    ious = (seen & there).sum(1) / (seen | there).sum(1).clamp_min(1)
    return float(ious[truth.any(1)].median())
