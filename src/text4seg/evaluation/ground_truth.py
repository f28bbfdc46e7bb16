"""The targets of a data set, numbered, with their masks as run lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from text4seg.core.types import Box, Size

if TYPE_CHECKING:
    from text4seg.data import ReferringTarget, Sample

Rle: TypeAlias = Mapping[str, Any]
"""COCO run lengths: `{"size": [height, width], "counts": …}`."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """One referring target with its mask as run lengths, so that it can be kept and compared.

    Attributes:
        index: The target's place in its data set, from 0.
        image: The image, as the data set names it.
        expression: What is asked for.
        set: The name under which figures are gathered.
        mask: The true mask; None where nothing in the image is meant.
        box: The annotated box in pixels; None where the data set has none of its own.
        size: The size of the image; None where only the mask knows it.
    """

    index: int
    image: str
    expression: str
    set: str
    mask: Rle | None
    box: Box | None = None
    size: Size | None = None

    @classmethod
    def of(cls, target: ReferringTarget, index: int, image: str, size: Size | None) -> GroundTruth:
        """Draw a target's mask from its annotation.

        Args:
            target: What a reader yielded.
            index: Its place in the data set.
            image: The name of its image.
            size: The size of the image, if known.

        Returns:
            The target as evaluation keeps it.

        Raises:
            InputError: The annotation is broken.
        """
        mask = None if target.mask is None else target.mask.to_rle()
        return cls(index, image, target.expression, target.set, mask, target.box, size)

    def __str__(self) -> str:
        return f"{self.expression!r} of {self.image}"


@dataclass(frozen=True, slots=True, eq=False)
class IndexedSample:
    """An image with its targets, numbered through the data set.

    Attributes:
        sample: The image and its targets.
        image: How records name the image.
        first: The place of its first target in the data set.
    """

    sample: Sample
    image: str
    first: int

    def truths(self) -> list[GroundTruth]:
        """The targets with their masks, drawn from the annotations now; raises `InputError`."""
        masks = [target.mask for target in self.sample.targets if target.mask is not None]
        size = self.sample.size or (masks[0].size if masks else None)
        return [
            GroundTruth.of(target, self.first + at, self.image, size)
            for at, target in enumerate(self.sample.targets)
        ]


def index_samples(
    samples: Iterable[Sample], *, root: Path | None = None, limit: int | None = None
) -> Iterator[IndexedSample]:
    """Number the targets of a data set.

    Args:
        samples: Images with their targets.
        root: Images below this folder are named from there on, so that records do not depend on
            the machine.
        limit: Stop after so many targets.

    Yields:
        Each image with the place of its first target.
    """
    first = 0
    for sample in samples:
        if limit is not None:
            if first >= limit:
                return
            sample = replace(sample, targets=sample.targets[: limit - first])  # noqa: PLW2901
        image = sample.image
        if root is not None and image.is_relative_to(root):
            image = image.relative_to(root)
        yield IndexedSample(sample, image.as_posix(), first)
        first += len(sample.targets)
