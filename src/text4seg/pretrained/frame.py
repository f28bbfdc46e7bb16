"""The geometry of a SAM's input square, and its prompts; numpy only.

SAM scales the long side of an image to the side of the square and pads below and to the right; SAM
2 and 3 stretch the image over the whole square. Mask logits, given and returned, are coarser
squares over the same area. All maps are in continuous coordinates: an image is 0 to 1 along both
axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from text4seg.core.geometry import interpolation_weights
from text4seg.core.types import Size


@dataclass(frozen=True, slots=True)
class Frame:
    """An image's place in a SAM's square.

    Attributes:
        image: The image's own size in pixels.
        inner: The pixels of the square that it covers, from the upper left corner.
        side: The side of the square in pixels.
        mask_side: The side of the square of mask logits, both those given and those returned.
    """

    image: Size
    inner: Size
    side: int
    mask_side: int

    @classmethod
    def build(cls, image: Size, side: int, mask_side: int, *, stretched: bool = False) -> Frame:
        """Place an image; lengths are rounded as in SAM and are at least 1.

        Args:
            image: The image's size in pixels.
            side: The side of the square in pixels.
            mask_side: The side of the square of mask logits.
            stretched: Stretch the image over the square instead of padding it.

        Returns:
            The frame.
        """
        if stretched:
            return cls(image, Size(side, side), side, mask_side)
        scale = side / max(image.height, image.width)
        height, width = (max(1, int(x * scale + 0.5)) for x in (image.height, image.width))
        return cls(image, Size(height, width), side, mask_side)

    @property
    def lattice(self) -> Size:
        """The number of mask logits, down and across, that the image covers wholly or in part."""
        height, width = (
            -(-length * self.mask_side // self.side)
            for length in (self.inner.height, self.inner.width)
        )
        return Size(height, width)

    def lattice_centers(
        self,
    ) -> tuple[Float64[np.ndarray, " height"], Float64[np.ndarray, " width"]]:
        """The centers of the lattice as shares of the image's height and width, at most 1."""
        step = self.side / self.mask_side
        ys = (np.arange(self.lattice.height) + 0.5) * step / self.inner.height
        xs = (np.arange(self.lattice.width) + 0.5) * step / self.inner.width
        return np.minimum(ys, 1.0), np.minimum(xs, 1.0)

    def pad(
        self, values: Float[np.ndarray, "height width"], fill: float
    ) -> Float32[np.ndarray, "side side"]:
        """Extend values on the lattice to a square of mask logits.

        Args:
            values: One for each place of `lattice`.
            fill: The value outside the image.

        Returns:
            The square, `mask_side` along both axes.
        """
        square = np.full((self.mask_side, self.mask_side), fill, dtype=np.float32)
        square[: self.lattice.height, : self.lattice.width] = values
        return square

    def to_image(
        self, logits: Float[np.ndarray, "side side"], size: Size | None = None
    ) -> Float32[np.ndarray, "h w"]:
        """Interpolate mask logits linearly at the pixels of the image.

        Args:
            logits: The square of mask logits.
            size: Another raster over the image; None for the image's own pixels.

        Returns:
            The logits of each pixel.
        """
        height, width = (size or self.image).height, (size or self.image).width
        step = self.side / self.mask_side
        ys = (np.arange(height) + 0.5) / height * self.inner.height / step - 0.5
        xs = (np.arange(width) + 0.5) / width * self.inner.width / step - 0.5
        down = interpolation_weights(ys, len(logits))
        across = interpolation_weights(xs, len(logits))
        return np.asarray(down @ logits @ across.T, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A SAM's prompt for one object, in pixels of its square.

    Attributes:
        box: x0, y0, x1, y1.
        points: x, y of each point.
        labels: 1 for a point inside the object, 0 for one outside.
        mask: Logits of a rough mask, `mask_side` along both axes.
    """

    box: Float32[np.ndarray, "4"]
    points: Float32[np.ndarray, "points 2"]
    labels: Int64[np.ndarray, " points"]
    mask: Float32[np.ndarray, "side side"]
