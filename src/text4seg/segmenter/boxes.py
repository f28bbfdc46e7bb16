"""The box format where a grid over the image is wanted: boxes drawn on a grid as fine as it gets.

A model that writes boxes is then segmented with like any other: its text is that of `codec.box`,
and the cells that come out are those of `FINE`, for refiners and scores to go on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from text4seg.codec import BOX, Format, Notation, Salvage, get_any_format, get_format
from text4seg.core.regions import Regions, masks_to_regions
from text4seg.core.types import MAX_GRID_SIDE, OTHERS, DescriptorGrid, GridShape, Size

FINE = GridShape(MAX_GRID_SIDE, MAX_GRID_SIDE)


@dataclass(frozen=True, slots=True)
class BoxesOnImage:
    """A `Format` whose shapes are those inside each box, and whose grids are `FINE`."""

    name: ClassVar[str] = BOX.name

    def encode(self, grid: DescriptorGrid) -> str:
        """The boxes around the labels of a grid over the image, with its own shape in each."""
        things = [(label, grid.select(label)) for label in grid.labels if label != OTHERS]
        return BOX.encode(masks_to_regions(things, grid.shape))

    def decode(
        self, text: str, shape: GridShape, labels: Sequence[str] | None = None
    ) -> DescriptorGrid:
        """The cells of strict text; raises `MaskSyntaxError`."""
        return _draw(BOX.decode(text, shape, labels))

    def salvage(self, text: str, shape: GridShape, labels: Sequence[str] | None = None) -> Salvage:
        """The cells of any text; never raises."""
        found = BOX.salvage(text, shape, labels)
        return Salvage(_draw(found.regions), found.repairs)

    def grammar(
        self,
        shape: GridShape,
        labels: Sequence[str] | None = None,
        notation: Notation = "lark",
        *,
        tail: str = "",
    ) -> str:
        """That of boxes; raises `GrammarError`."""
        return BOX.grammar(shape, labels, notation, tail=tail)


def _draw(regions: Regions) -> DescriptorGrid:
    return DescriptorGrid.build(regions.labels, regions.label_map(Size(FINE.rows, FINE.cols)))


def format_on_image(name: str) -> Format:
    """The format of this name, all with grids over the image; raises `UnknownNameError`."""
    if get_any_format(name) is BOX:
        return BoxesOnImage()
    return get_format(name)


__all__ = ["FINE", "BoxesOnImage", "format_on_image"]
