"""Masks to text: the one way in which training targets and encoded files are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from text4seg.codec import DEFAULT_FORMAT, get_format
from text4seg.codec.answer import SEG_OPEN, body_of
from text4seg.conversions import Value
from text4seg.core.coverage import (
    Rule,
    coverages_to_best_cells,
    coverages_to_cells,
    get_rule,
    rles_to_cells,
)
from text4seg.core.errors import InputError
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, Size, check_label
from text4seg.data.mask_sources import MaskSource, sources_to_coverage

LabeledMask = tuple[str, Bool[np.ndarray, "h w"]]


@dataclass(frozen=True, slots=True)
class TargetEncoder:
    """How masks become text.

    Attributes:
        format: The name of a text format.
        grid: The grid over the image; in `box` format the grid inside each box.
        rule: How a mask becomes cells: `coverage`, `iou` or `center`.

    Raises:
        UnknownNameError: There is no such format or rule.
        InputError: The format has boxes, which the rule `center` is not defined for.
    """

    format: str = DEFAULT_FORMAT
    grid: GridShape = field(default_factory=lambda: GridShape(16, 16))
    rule: Rule = "coverage"

    def __post_init__(self) -> None:
        get_rule(self.rule)
        if self.has_boxes and self.rule == "center":
            raise InputError("boxes are not for the rule center: take coverage or iou")

    @property
    def has_boxes(self) -> bool:
        """Whether each mask has a box with a grid of its own."""
        return not get_format(self.format).syntax.covers_image

    def encode(self, objects: Sequence[LabeledMask], size: Size | None = None) -> str:
        """Write the masks of one image as one text.

        Args:
            objects: Labels with boolean masks `h w` of one size; empty for "no target".
            size: The size that the masks must have, where it is to be checked.

        Returns:
            The text of the format, without the sentence around it.

        Raises:
            LabelError: A label cannot be written.
            InputError: A mask has another size.
        """
        return self.write(self.to_value(objects, size))

    def encode_each(self, objects: Sequence[tuple[str, MaskSource]]) -> list[str]:
        """Write each mask as a text of its own.

        Many masks together take less time than one after the other, and polygons and run lengths
        are not drawn.

        Args:
            objects: Labels with masks of any images.

        Returns:
            A text for each mask.

        Raises:
            LabelError: A label cannot be written.
            InputError: A mask cannot be read.
        """
        if self.has_boxes:
            return [self.encode([(label, mask.to_mask())]) for label, mask in objects]
        cells = self.to_cells([mask for _, mask in objects])
        return [
            self.write(label_cells(label, one))
            for (label, _), one in zip(objects, cells, strict=True)
        ]

    def to_value(self, objects: Sequence[LabeledMask], size: Size | None = None) -> Value:
        """Get the value that `encode` writes.

        Args:
            objects: Labels with boolean masks `h w` of one size.
            size: The size that the masks must have, where it is to be checked.

        Returns:
            The grid, or the boxes with their grids.

        Raises:
            LabelError: A label cannot be written.
            InputError: A mask has another size.
        """
        for label, mask in objects:
            if size is not None and mask.shape != (size.height, size.width):
                height, width = mask.shape
                raise InputError(f"the mask of {label!r} is {height}x{width} and the image {size}")
        value: Value = get_format(self.format).from_masks(objects, self.grid, self.rule)
        return value

    def to_cells(self, masks: Sequence[MaskSource]) -> Bool[np.ndarray, "masks rows cols"]:
        """Compute the cells of the grid that belong to each mask, without drawing it if possible.

        Args:
            masks: Masks of any images.

        Returns:
            A boolean array for each mask.

        Raises:
            InputError: A mask cannot be read.
        """
        if not masks:
            return np.zeros((0, self.grid.rows, self.grid.cols), dtype=bool)
        if self.rule == "center":
            rles = [mask.undrawn_rle() or mask.to_rle() for mask in masks]
            return rles_to_cells(rles, self.grid, self.rule)
        coverages = np.stack(sources_to_coverage(masks, self.grid))
        choose = coverages_to_best_cells if self.rule == "iou" else coverages_to_cells
        return choose(coverages)

    def write(self, value: Value) -> str:
        """Write a value as text.

        Args:
            value: What `to_value` returned.

        Returns:
            The text of the format.
        """
        return get_format(self.format).encode(value)


def label_cells(label: str, cells: Bool[np.ndarray, "rows cols"]) -> DescriptorGrid:
    """Make the grid of one label from the cells that it has.

    Raises:
        LabelError: The label cannot be written.
    """
    check_label(label)
    return DescriptorGrid((OTHERS, label), cells.astype(np.int32))


def encode_mask(
    mask: Bool[np.ndarray, "h w"],
    label: str,
    *,
    grid: str | GridShape = "16x16",
    format: str = DEFAULT_FORMAT,  # noqa: A002 - the word of the reference
    rule: str = "coverage",
) -> str:
    """Write a mask as text.

    Args:
        mask: An array `h w`; what is not zero belongs to the mask.
        label: The words for it.
        grid: Rows x columns.
        format: The name of a text format: `sd`, `rle`, `rrle`, `box` or a plug-in's.
        rule: `coverage` (cells covered by at least half), `iou` (the cells that fit best) or
            `center` (cells whose middle pixel is set, as in Text4Seg).

    Returns:
        The text. A mask with a pixel always has a cell, except by the rule `center`.

    Raises:
        UnknownNameError: There is no such format or rule.
        LabelError: The label cannot be written.
        InputError: The mask is not an array of two dimensions, or the grid is not one.
    """
    pixels = np.asarray(mask) != 0
    if pixels.ndim != 2:
        raise InputError(f"a mask has height and width, got an array of shape {pixels.shape}")
    return TargetEncoder(format, _grid(grid), get_rule(rule)).encode([(label, pixels)])


def decode_mask(
    text: str,
    *,
    grid: str | GridShape = "16x16",
    format: str = DEFAULT_FORMAT,  # noqa: A002 - the word of the reference
    labels: Sequence[str] | None = None,
) -> Value:
    """Read mask text strictly.

    Args:
        text: What `encode_mask` returns, or a whole answer with the text between `<seg>` and
            `</seg>`.
        grid: Rows x columns.
        format: The name of the text format.
        labels: The labels that may occur; by default any.

    Returns:
        The grid (`DescriptorGrid`), or the boxes with their grids (`Regions`) in `box` format.

    Raises:
        UnknownNameError: There is no such format.
        MaskSyntaxError: The text is not in the format; line and column are named.
    """
    body = body_of(text) if SEG_OPEN in text else text
    value: Value = get_format(format).decode(body, _grid(grid), labels)
    return value


def _grid(grid: str | GridShape) -> GridShape:
    return GridShape.parse(grid) if isinstance(grid, str) else grid


__all__ = ["TargetEncoder", "Value", "decode_mask", "encode_mask", "label_cells"]
