"""What every reader yields: a photo with what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from text4seg.core.rle import rle_to_mask
from text4seg.core.types import Size


@dataclass(frozen=True, slots=True)
class Asked:
    """One expression and its true mask.

    Attributes:
        expression: What is asked for.
        mask: COCO run lengths of the photo's size, or None where nothing in the photo is meant.
        set: The name under which results are gathered.
        source: The file and the line, or another id, that messages name.
    """

    expression: str
    mask: Mapping[str, Any] | None
    set: str
    source: str

    def to_mask(self, size: Size) -> Bool[np.ndarray, "h w"]:
        """The true mask in pixels, all False where nothing is meant."""
        if self.mask is None:
            return np.zeros((size.height, size.width), dtype=bool)
        return rle_to_mask(self.mask)


@dataclass(frozen=True, slots=True)
class Sample:
    """A photo and all that is asked of it."""

    image: Path
    asked: tuple[Asked, ...]
