"""The types that all readers share: where a data set lies, what it gives, and the reader itself.

To add a layout, write a module with a `Reader` and a row in `data/readers/__init__.py`; a
package of your own has an entry point in the group `text4seg.readers` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from jaxtyping import Bool

from text4seg.core.errors import InputError
from text4seg.core.types import Box, Size
from text4seg.data.mask_sources import MaskSource, RunLengthMask
from text4seg.data.reports import ReadReport

if TYPE_CHECKING:
    from PIL import Image

Kind = Literal["expression", "class", "part"]
"""What an expression is: a referring expression, the name of a class, or the name of a part."""


@dataclass(frozen=True, slots=True)
class ReferringTarget:
    """An expression and its true mask.

    Attributes:
        expression: The words that are asked for.
        mask: The true mask, or None where nothing in the image is meant. COCO run lengths (a
            mapping) are accepted too. A class with several instances, or an expression with
            several targets, has a `MaskUnion` of the single masks.
        set: The name under which scores are gathered.
        source: The file and the record, for messages.
        kind: What the expression is.
        whole: Of a part, the name of the thing that it belongs to.
        category: The class, where it is known.
        box: The annotated box in pixels, where there is one.
        ids: The ids of the annotations that the mask was made from.
        synonyms: Other words for the same thing.
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
        """Draw the true mask.

        Args:
            size: The size of the upright image.

        Returns:
            A boolean array, all False where nothing is meant.

        Raises:
            InputError: The mask is of another size or cannot be read.
        """
        if self.mask is None:
            return np.zeros((size.height, size.width), dtype=bool)
        self._check(size)
        return self.mask.to_mask()

    def to_rle(self, size: Size) -> Mapping[str, Any]:
        """Get the true mask as COCO run lengths.

        Args:
            size: The size of the upright image.

        Returns:
            `{"size": [height, width], "counts": …}`.

        Raises:
            InputError: The mask is of another size or cannot be read.
        """
        if self.mask is None:
            return {"size": [size.height, size.width], "counts": [size.pixels]}
        self._check(size)
        return self.mask.to_rle()

    def _check(self, size: Size) -> None:
        if self.mask is not None and self.mask.size != size:
            raise InputError(f"{self.source}: the mask is {self.mask.size} and the image {size}")


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with its targets.

    Attributes:
        image: The image file; for an image inside another file, that file and a name in it.
        targets: The expressions with their true masks.
        size: The size of the upright image as annotated, or None where the reader does not know.
        id: The image's id in its data set.
        dataset: The name of the data set.
        split: The part of the data set.
        absent: Names that the annotators looked for and did not find in this image.
        void: Pixels that are not annotated and not scored.
        content: The bytes of an image that is not a file of its own.
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
        """Open the image.

        Returns:
            Upright RGB.

        Raises:
            InputError: It is missing or cannot be read.
        """
        from text4seg.images import open_image

        return open_image(self.image, content=self.content)


class Dataset(Protocol):
    """A data set that a reader has opened: images by number.

    It is picklable, because a build loads images in several processes, and it keeps only an index
    in memory.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that the annotators looked for; empty for free expressions."""

    def __len__(self) -> int:
        """Count the images."""

    def load(self, index: int, report: ReadReport) -> Sample:
        """Read one image with its targets.

        Args:
            index: From 0 to the number of images.
            report: Where wrong targets are counted.

        Returns:
            The sample, with masks as they were annotated.

        Raises:
            RecordError: The image cannot be used.
        """


class LayoutError(InputError):
    """Files that are not laid out as the reader expects; `read_dataset` adds the layout."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set lies, and which part of it is wanted.

    Attributes:
        root: The folder or file of the annotations.
        images: The folder of the images, where it was given.
        split: The part of the data set, where it was given or the reader has a default.
        options: The reader's own options.
        report: Where faults are counted while the data set is opened.
    """

    root: Path
    images: Path | None
    split: str | None
    options: Mapping[str, str]
    report: ReadReport

    def find_file(self, patterns: tuple[str, ...]) -> Path:
        """Find the annotation file.

        Args:
            patterns: Paths below the root, with `{split}` for the split, in order of preference.

        Returns:
            The root itself if it is a file, otherwise the first of the paths that exists.

        Raises:
            LayoutError: None of them exists.
        """
        if self.root.is_file():
            return self.root
        paths = [self.root / pattern.format(split=self.split or "") for pattern in patterns]
        for path in paths:
            if path.is_file():
                return path
        tried = ", ".join(str(path.relative_to(self.root)) for path in paths)
        raise LayoutError(f"{self.root} has none of {tried}")

    def find_images(self, beside: Path, usual: tuple[Path, ...]) -> Path:
        """Find the folder of images.

        Args:
            beside: The folder to take where nothing else exists.
            usual: The usual folders, in order of preference.

        Returns:
            The given folder, or the first that exists.

        Raises:
            InputError: A folder was given and does not exist.
        """
        if self.images is not None:
            if not self.images.is_dir():
                raise InputError(f"there is no folder of images {self.images}")
            return self.images
        return next((folder for folder in usual if folder.is_dir()), beside)


@dataclass(frozen=True)
class Reader:
    """A layout of data sets and the function that opens it.

    Attributes:
        name: The name of the layout.
        summary: One line on what it holds. It becomes the docstring of the instance, from which
            help texts and tables are made.
        layout: The files, as a tree.
        open: Opens a data set of this layout; raises `InputError` or `LayoutError`.
        splits: The parts that it may have, the first of them the default. Empty: any name or none.
        options: The reader's own options, each with its description.
    """

    name: str
    summary: str
    layout: str
    open: Callable[[Source], Dataset]
    splits: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.summary)  # for Registry.get_summary
