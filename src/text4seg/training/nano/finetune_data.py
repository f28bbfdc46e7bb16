"""What nano learns from a user's chats: images as features, questions, cells, names.

nano reads what frozen networks see of an image, so every image is looked at once and what they saw
is kept; moving, zooming and mirroring it is done on those features.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from text4seg.codec import get_format
from text4seg.codec.answer import body_of
from text4seg.core.errors import InputError, MaskSyntaxError
from text4seg.core.types import GridShape
from text4seg.models.nano.config import CELLS, VISION_CHANNELS
from text4seg.training.conversations import Chat, text_of
from text4seg.training.nano.augmentation import (
    as_cells,
    move_features,
    move_maps,
    to_cells,
    weaken_detector,
)
from text4seg.training.nano.new_names import frequent_names, name_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_STILL = 0.5  # share of the images that are neither zoomed nor moved


@dataclass(frozen=True, slots=True)
class FineTuneQuestion:
    """One chat as nano's fusion learns it: `image` counts images, `cells 16 16` are shares."""

    image: int
    wording: str
    expression: str
    cells: Tensor
    source: str

    @property
    def name(self) -> str | None:
        return name_of(self.expression)


@dataclass(frozen=True, slots=True)
class FineTuneBatch:
    """Features of images `p 256 c`; questions: their image `q`, wordings, cells `q 256`.

    `names p 256 n` is how much of every cell each known name covers, `annotated p n` which of them
    were asked about that image at all.
    """

    features: Tensor
    image: Tensor
    wordings: list[str]
    expressions: list[str]
    cells: Tensor
    names: Tensor
    annotated: Tensor


def read_questions(
    chats: Sequence[Chat], *, format_name: str, grid: GridShape
) -> list[FineTuneQuestion]:
    """Chats of one question and one mask each.

    Raises:
        InputError: A chat is of another kind; its source is named.
    """
    places: dict[Path, int] = {}
    return [
        _read(chat, places.setdefault(chat.image, len(places)), format_name, grid) for chat in chats
    ]


def _read(chat: Chat, image: int, format_name: str, shape: GridShape) -> FineTuneQuestion:
    if len(chat.answers) != 1:
        raise InputError(
            f"{chat.source}: nano learns one question a sample, this one has {len(chat.answers)}"
        )
    try:
        grid = get_format(format_name).decode(body_of(chat.answers[0]), shape)
    except MaskSyntaxError as error:
        raise InputError(
            f"{chat.source}: the answer is no mask of {shape} cells in the format {format_name} "
            f"({error}); see data.format and data.grid"
        ) from error
    labels = list(grid.labels[1:])
    if len(labels) > 1:
        raise InputError(
            f"{chat.source}: nano learns one thing a sample, this answer names {len(labels)}: "
            f"{', '.join(labels[:3])}"
        )
    marked = torch.from_numpy((np.asarray(grid.cells) > 0).astype(np.float32))
    cells = functional.adaptive_avg_pool2d(marked[None], CELLS)[0]
    wording = text_of(next(m for m in chat.messages if m["role"] == "user"))
    return FineTuneQuestion(image, wording, chat.expression or "".join(labels), cells, chat.source)


class FeatureCache:
    """`sights[image]` → float16 `256 c`: what the eyes saw, kept in memory and on disk."""

    def __init__(self, folder: Path, look: Callable[[Image], Tensor]) -> None:
        self._folder, self._look = folder, look

    def of(self, chat: Chat) -> Tensor:
        """Features of a chat's image; a file named by the image's content keeps them."""
        from safetensors.torch import load_file, save

        from text4seg.core.files import write_atomically

        content = chat.content if chat.content is not None else chat.image.read_bytes()
        file = self._folder / f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
        if file.is_file():
            return load_file(file)["features"]
        seen = self._look(chat.open_image()).contiguous()
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, save({"features": seen}))
        return seen


@dataclass(slots=True)
class FineTuneData:
    """Draws batches of a user's questions, moved and mirrored; the same seed, the same batch."""

    questions: Sequence[FineTuneQuestion]
    features: Tensor  # images 256 c
    known: Sequence[str]
    _asked: dict[int, list[FineTuneQuestion]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for question in self.questions:
            if question.name is not None:
                self._asked[question.image].append(question)

    @staticmethod
    def names_to_know(questions: Sequence[FineTuneQuestion]) -> list[str]:
        """Names worth a place in nano's list: those present in several images."""
        present = [(q.name, q.image) for q in questions if q.name and q.cells.any()]
        return frequent_names(present)

    def batch(self, numbers: Sequence[int], seed: Sequence[int] | None) -> FineTuneBatch:
        """The questions of these numbers; without a seed just as they are."""
        asked = [self.questions[number] for number in numbers]
        images = list(dict.fromkeys(question.image for question in asked))
        place = {image: index for index, image in enumerate(images)}
        image = torch.tensor([place[question.image] for question in asked])
        seen = self.features[images].float()
        names, annotated = self.coverage(images)
        cells = torch.stack([question.cells for question in asked])[:, None]
        wordings = [question.wording for question in asked]
        expressions = [question.expression for question in asked]
        if seed is not None:
            change = Augmentation.draw(len(images), np.random.default_rng(tuple(seed)))
            seen = move_features(seen, flips=change.mirrored, zoom=change.zoom, shift=change.shift)
            names = change.apply(names)
            cells = change.of(image).apply(cells)
            random = np.random.default_rng((*seed, 1))
            seen = weaken_detector(seen, VISION_CHANNELS, random)
            flipped = change.mirrored[image].tolist()
            wordings = [_swap(w) if f else w for w, f in zip(wordings, flipped, strict=True)]
            expressions = [_swap(e) if f else e for e, f in zip(expressions, flipped, strict=True)]
        return FineTuneBatch(
            seen, image, wordings, expressions, to_cells(cells[:, 0]).flatten(1),
            as_cells(names), annotated,
        )  # fmt: skip

    def images_of(self, most: int) -> list[int]:
        """Images that names were asked about, at most so many, spread over all of them."""
        asked = sorted(image for image, questions in self._asked.items() if questions)
        count = min(most, len(asked))
        return [asked[place * len(asked) // count] for place in range(count)]

    def coverage(self, images: Sequence[int]) -> tuple[Tensor, Tensor]:
        """How much each known name covers `p n 16 16`, and which were asked for `p n`."""
        place = {name: index for index, name in enumerate(self.known)}
        names = torch.zeros(len(images), len(self.known), CELLS, CELLS)
        annotated = torch.zeros(len(images), len(self.known), dtype=torch.bool)
        for row, image in enumerate(images):
            for question in self._asked[image]:
                index = place.get(question.name or "")
                if index is not None:
                    annotated[row, index] = True
                    names[row, index] = torch.maximum(names[row, index], question.cells)
        return names, annotated


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How each image of a batch is changed: mirrored, zoomed about a shifted center."""

    mirrored: Tensor
    zoom: Tensor
    shift: Tensor

    @classmethod
    def draw(cls, count: int, random: np.random.Generator) -> Augmentation:
        still = random.random(count) < _STILL
        zoom = np.where(still, 1.0, np.exp(random.uniform(np.log(0.8), np.log(1.5), count)))
        shift = np.where(still[:, None], 0.0, random.uniform(-0.5, 0.5, (count, 2)))
        mirrored = torch.from_numpy(random.random(count) < 0.5)
        return cls(mirrored, torch.from_numpy(zoom).float(), torch.from_numpy(shift).float())

    def of(self, image: Tensor) -> Augmentation:
        """The change of each question's image."""
        return Augmentation(self.mirrored[image], self.zoom[image], self.shift[image])

    def apply(self, maps: Tensor) -> Tensor:
        """`b c 16 16` maps, changed."""
        flipped = torch.where(self.mirrored[:, None, None, None], maps.flip(3), maps)
        return move_maps(flipped, zoom=self.zoom, shift=self.shift)


def _swap(words: str) -> str:
    """Left and right change places in a mirrored image."""
    return words.replace("left", "\0").replace("right", "left").replace("\0", "right")
