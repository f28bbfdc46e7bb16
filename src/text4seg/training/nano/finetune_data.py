"""A user's chats as nano's fusion learns them: features of images, questions, cells and names.

nano reads features of frozen encoders, so each image is encoded once and its features are cached;
augmentation moves those features (`augmentation`).
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
from text4seg.training.chats import Chat, text_of
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

# Share of the images that are neither zoomed nor shifted, so that the features as they are in use
# stay the commonest case.
_STILL = 0.5


@dataclass(frozen=True, slots=True)
class FineTuneQuestion:
    """One chat as nano's fusion learns it.

    Attributes:
        image: Number of the image, in the order of first use.
        wording: The question as the user wrote it.
        expression: What it asks for.
        cells: Share of each cell that the target covers, `16 16`; zeros if it is absent.
        source: Where the chat was read, for messages.
    """

    image: int
    wording: str
    expression: str
    cells: Tensor
    source: str

    @property
    def name(self) -> str | None:
        """The name of a kind of thing, if the expression is one."""
        return name_of(self.expression)


@dataclass(frozen=True, slots=True)
class FineTuneBatch:
    """One step's images and questions.

    Attributes:
        features: Of each image, `p 256 c`.
        image: Number of each question's image in this batch, `q`.
        wordings: The questions.
        expressions: What they ask for.
        cells: 1 where the target is, `q 256`.
        names: Share of each cell that each known name covers, `p 256 n`.
        annotated: Which names were asked about that image at all, `p n`.
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
    """Read chats of one question and one mask each.

    Args:
        chats: The user's chats.
        format_name: Format of the masks in the answers.
        grid: Their grid; cells are averaged to nano's 16x16.

    Returns:
        One question for each chat, in the same order.

    Raises:
        InputError: A chat has several questions, several labels or no valid mask; its source is
            named.
    """
    # Images get their numbers in the order of first use, so all questions about one share it.
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
    # Averaging to nano's cells turns a finer mask into coverage, as the annotations of stage 1 are.
    marked = torch.from_numpy((np.asarray(grid.cells) > 0).astype(np.float32))
    cells = functional.adaptive_avg_pool2d(marked[None], CELLS)[0]
    wording = text_of(next(m for m in chat.messages if m["role"] == "user"))
    return FineTuneQuestion(image, wording, chat.expression or "".join(labels), cells, chat.source)


class FeatureCache:
    """Features of images, computed once and cached on disk."""

    def __init__(self, folder: Path, encode: Callable[[Image], Tensor]) -> None:
        """Open the cache.

        Args:
            folder: Where the files are kept; made when the first one is written.
            encode: The vision encoder: an image to float16 features `256 c`.
        """
        self._folder, self._encode = folder, encode

    def get(self, chat: Chat) -> Tensor:
        """Get the features of a chat's image, `256 c`, from the cache if they are there.

        The file is named by the image's content, so a changed image is encoded anew.
        """
        from safetensors.torch import load_file, save

        from text4seg.core.files import write_atomically

        # Rows of a parquet file have no path of their own, only content.
        content = chat.content if chat.content is not None else chat.image.read_bytes()
        file = self._folder / f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
        if file.is_file():
            return load_file(file)["features"]
        seen = self._encode(chat.open_image()).contiguous()
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, save({"features": seen}))
        return seen


@dataclass(slots=True)
class FineTuneData:
    """Draws batches of a user's questions, augmented; the same seed gives the same batch.

    Attributes:
        questions: All questions to learn from.
        features: Of all images, `images 256 c`.
        known: Names of the fusion's name head, in its order.
    """

    questions: Sequence[FineTuneQuestion]
    features: Tensor
    known: Sequence[str]
    _asked: dict[int, list[FineTuneQuestion]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for question in self.questions:
            # An expression that singles out one thing says nothing of its whole kind.
            if question.name is not None:
                self._asked[question.image].append(question)

    @staticmethod
    def names_to_know(questions: Sequence[FineTuneQuestion]) -> list[str]:
        """Find the names worth an output of the name head: those present in several images."""
        present = [(q.name, q.image) for q in questions if q.name and q.cells.any()]
        return frequent_names(present)

    def batch(self, numbers: Sequence[int], seed: Sequence[int] | None) -> FineTuneBatch:
        """Make the batch of some questions.

        Args:
            numbers: Places in `questions`.
            seed: Of the augmentation; without one the batch is not augmented.

        Returns:
            The batch.
        """
        asked = [self.questions[number] for number in numbers]
        # Several questions about an image share its encoding, which is most of a step's time.
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
            # A stream of its own: the geometry stays the same if this augmentation changes.
            random = np.random.default_rng((*seed, 1))
            seen = weaken_detector(seen, VISION_CHANNELS, random)
            # In a mirrored image the left thing is the right one, also in the words.
            flipped = change.mirrored[image].tolist()
            wordings = [_swap(w) if f else w for w, f in zip(wordings, flipped, strict=True)]
            expressions = [_swap(e) if f else e for e, f in zip(expressions, flipped, strict=True)]
        return FineTuneBatch(
            seen, image, wordings, expressions, to_cells(cells[:, 0]).flatten(1),
            as_cells(names), annotated,
        )  # fmt: skip

    def images_of(self, most: int) -> list[int]:
        """Choose at most so many images that names were asked about, evenly spread."""
        asked = sorted(image for image, questions in self._asked.items() if questions)
        count = min(most, len(asked))
        return [asked[place * len(asked) // count] for place in range(count)]

    def coverage(self, images: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Map the known names in some images.

        Args:
            images: Numbers of the images.

        Returns:
            Share of each cell that each name covers, `p n 16 16`, and which names were asked about
            each image, `p n`.
        """
        place = {name: index for index, name in enumerate(self.known)}
        names = torch.zeros(len(images), len(self.known), CELLS, CELLS)
        annotated = torch.zeros(len(images), len(self.known), dtype=torch.bool)
        for row, image in enumerate(images):
            for question in self._asked[image]:
                index = place.get(question.name or "")
                if index is not None:
                    annotated[row, index] = True
                    # Several questions may name the same kind; together they cover it.
                    names[row, index] = torch.maximum(names[row, index], question.cells)
        return names, annotated


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How each image of a batch is changed.

    Attributes:
        mirrored: Whether left and right change places, `b`.
        zoom: Factor, `b`.
        shift: Shift of the center in halves of a side, `b 2` as (x, y).
    """

    mirrored: Tensor
    zoom: Tensor
    shift: Tensor

    @classmethod
    def draw(cls, count: int, random: np.random.Generator) -> Augmentation:
        """Draw changes for so many images: half mirrored, half zoomed by 0.8 to 1.5 and shifted."""
        still = random.random(count) < _STILL
        # Even in the logarithm: enlarging by half and shrinking to two thirds are as frequent.
        zoom = np.where(still, 1.0, np.exp(random.uniform(np.log(0.8), np.log(1.5), count)))
        shift = np.where(still[:, None], 0.0, random.uniform(-0.5, 0.5, (count, 2)))
        mirrored = torch.from_numpy(random.random(count) < 0.5)
        return cls(mirrored, torch.from_numpy(zoom).float(), torch.from_numpy(shift).float())

    def of(self, image: Tensor) -> Augmentation:
        """Get the change of each question's image."""
        return Augmentation(self.mirrored[image], self.zoom[image], self.shift[image])

    def apply(self, maps: Tensor) -> Tensor:
        """Change maps `b c 16 16`."""
        flipped = torch.where(self.mirrored[:, None, None, None], maps.flip(3), maps)
        return move_maps(flipped, zoom=self.zoom, shift=self.shift)


def _swap(words: str) -> str:
    """Exchange the words left and right."""
    # The null character holds the place of "left" meanwhile.
    return words.replace("left", "\0").replace("right", "left").replace("\0", "right")
