"""A user's own word for a thing that nano knows by another: `Hose`, if its masks are of pants.

Few images cannot teach what a name that nano knows was taught by thousands. So before anything is
learned, nano is asked about the images of each word by the names that it knows; where one of them
finds the masks, the word is read as that name from then on, and training goes on from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from text4seg.prompts import question as wording_of

if TYPE_CHECKING:
    from torch import Tensor

    from text4seg.models.nano.fusion import ImageState
    from text4seg.models.nano.nano_model import NanoModel
    from text4seg.training.nano.finetune_data import FineTuneQuestion

_MOST_IMAGES = 24
_CANDIDATES = 8
_THING = 5.0  # what a cell of the thing weighs, of one beside it; as in nano's own lesson
_HALF = 0.5  # a cell is the thing's where the thing covers so much of it
_FOUND = 0.25  # IoU that half of the images with the thing reach, where a name has found it


def find_aliases(
    chat: NanoModel,
    questions: Sequence[FineTuneQuestion],
    features: Tensor,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Words of the questions → the known names to read them as; `features images 256 c`.

    A word is left out where no name finds its masks, or none better than the word itself.
    `progress` is told of the word, and of how many there are.
    """
    if chat.reader is None:
        return {}  # these weights read questions as they stand
    asked: dict[str, list[FineTuneQuestion]] = defaultdict(list)
    for one in questions:
        if one.name is not None and one.name not in chat.model.config.names:
            asked[one.name].append(one)
    words = {word: _some(given) for word, given in asked.items() if _present(given)}
    search, found = _Search(chat, features), {}
    for count, (word, given) in enumerate(words.items()):
        if progress:
            progress(count, len(words))
        found[word] = search.name_of(given)
    return {word: name for word, name in found.items() if name is not None}


def _some(questions: Sequence[FineTuneQuestion]) -> list[FineTuneQuestion]:
    """At most so many; half of them are about absent things where there are enough."""
    away = [one for one in questions if not one.cells.any()]
    return _present(questions)[: _MOST_IMAGES // 2] + away[: _MOST_IMAGES // 2]


def _present(questions: Sequence[FineTuneQuestion]) -> list[FineTuneQuestion]:
    return [one for one in questions if one.cells.any()]


class _Search:
    """Asks by names; an image is encoded once, and asked by a name once."""

    def __init__(self, chat: NanoModel, features: Tensor) -> None:
        self._chat, self._features = chat, features
        self._names: Sequence[str] = chat.model.config.names
        self._images: dict[int, ImageState] = {}
        self._asked: dict[tuple[int, str], Tensor] = {}

    def name_of(self, questions: Sequence[FineTuneQuestion]) -> str | None:
        """The name that finds these masks best; None if none does, or the word itself as well."""
        truth = torch.stack([one.cells.flatten() for one in questions])
        names = [self._names[place] for place in self._candidates(truth, questions)]
        wordings = [[wording_of(f"the {name}")] * len(questions) for name in names]
        wordings.insert(0, [one.wording for one in questions])
        found = [self._logits(questions, asked) for asked in wordings]
        losses = [float(_entropy(logits, truth).sum()) for logits in found]
        best = min(range(len(found)), key=losses.__getitem__)
        return names[best - 1] if best and _overlap(found[best], truth) >= _FOUND else None

    def _logits(self, questions: Sequence[FineTuneQuestion], wordings: Sequence[str]) -> Tensor:
        """Target logits `q 256`."""
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
        """Names seen where the masks are before any question is: by loss, and by overlap."""
        seen = torch.cat([self._image(one.image).names for one in questions]).float()  # q 256 names
        losses = _entropy(seen, truth[..., None].expand_as(seen)).sum((0, 1))
        shares, there = seen.sigmoid(), truth[..., None]
        both = (shares * there).sum(1)
        overlaps = (both / ((shares + there).sum(1) - both))[truth.any(1)].mean(0)
        count = min(_CANDIDATES, len(losses))
        near = [*(-losses).topk(count).indices.tolist(), *overlaps.topk(count).indices.tolist()]
        return list(dict.fromkeys(near))


def _entropy(logits: Tensor, truth: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return entropy * (1 + (_THING - 1) * truth)


def _overlap(logits: Tensor, truth: Tensor) -> float:
    """IoU in the middle of those where there is something to find.

    Not their mean: a word for several things would be read as the one of them that is seen best.
    """
    seen, there = logits > 0, truth > _HALF
    ious = (seen & there).sum(1) / (seen | there).sum(1).clamp_min(1)
    return float(ious[truth.any(1)].median())
