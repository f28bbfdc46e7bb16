"""What every reader yields: an image with what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError
from text4seg.core.types import Box, Size
from text4seg.data.mask_sources import MaskSource, RunLengthMask

if TYPE_CHECKING:
    from PIL import Image

Kind = Literal["expression", "class", "part"]
"""What an expression is: words that refer to something, the name of a class, or of a part."""


@dataclass(frozen=True, slots=True)
class ReferringTarget:
    """One expression and its true mask.

    Attributes:
        expression: What is asked for.
        mask: Where it is, or None where nothing in the image is meant. COCO run lengths are taken
            too. Of a class with several instances, and of an expression with several targets, it
            is a `MaskUnion` region whose `regions` are the single ones.
        set: The name under which results are gathered.
        source: The file and the record, that messages name.
        kind: What the expression is.
        whole: Of a part, the name of the thing that it belongs to.
        category: The class of what is meant, where it is known.
        box: The annotated box, where there is one.
        ids: The ids of the annotations that the mask was made from.
        synonyms: Other words for the same, that may be asked instead.
    """

    expression: str
    mask: MaskSource | None
    set: str
    source: str
    kind: Kind = "expression"
    whole: str = ""
    category: str = ""
    box: Box | None = None
    ids: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        mask: object = self.mask
        if isinstance(mask, Mapping):
            object.__setattr__(self, "mask", RunLengthMask.from_coco(mask))

    def to_mask(self, size: Size) -> Bool[np.ndarray, "h w"]:
        """The true mask in pixels, all False where nothing is meant; raises `InputError`."""
        if self.mask is None:
            return np.zeros((size.height, size.width), dtype=bool)
        self._check(size)
        return self.mask.to_mask()

    def to_rle(self, size: Size) -> Mapping[str, Any]:
        """The true mask as COCO run lengths; raises `InputError`."""
        if self.mask is None:
            return {"size": [size.height, size.width], "counts": [size.pixels]}
        self._check(size)
        return self.mask.to_rle()

    def _check(self, size: Size) -> None:
        if self.mask is not None and self.mask.size != size:
            raise InputError(f"{self.source}: the mask is {self.mask.size} and the image {size}")


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and all that is asked of it.

    Attributes:
        image: The image; for one inside another file, that file and a name in it.
        targets: What is asked, with the true masks.
        size: The size of the upright image, as annotated; None where the reader does not know.
        id: The image's id in its data set.
        dataset: The name of the data set.
        split: The part of the data set.
        absent: Names that the annotators looked for and did not find in this image.
        void: Pixels that nobody annotated and nobody scores.
        content: The bytes of the image where it is no file of its own.
    """

    image: Path
    targets: tuple[ReferringTarget, ...]
    size: Size | None = None
    id: str = ""
    dataset: str = ""
    split: str = ""
    absent: tuple[str, ...] = ()
    void: MaskSource | None = None
    content: bytes | None = None

    def open_image(self) -> Image.Image:
        """The image as upright RGB; raises `InputError`."""
        from text4seg.images import open_image

        return open_image(self.image, content=self.content)
