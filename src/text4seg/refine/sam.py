"""Sharp outlines from a SAM, told where to look by the cells.

The photo is encoded once, at its first mask that is not empty. Each mask is then a prompt and a few
passes of the decoder, each fed the logits of the one before; the candidate that covers the cells
most as the text says wins, and where even that one disagrees the refiner stays with what is smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from text4seg.core.types import Size
from text4seg.refine._prompts import Prompting, place_prompt
from text4seg.refine._protocol import Refined
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.pretrained.frame import Frame
    from text4seg.pretrained.sam import Features, Sam

_SUBCELLS = 8


@dataclass(frozen=True, slots=True)
class SamSettings:
    """How a SAM is asked and when it is believed.

    Attributes:
        prompting: How prompts are placed.
        passes: Of the decoder, for each mask.
        least_agreement: Below this the smooth mask stays, and the notes say so. Agreement is the
            sum over cells of the smaller of probability and coverage, over that of the larger.
    """

    prompting: Prompting = field(default_factory=Prompting)
    passes: int = 2
    least_agreement: float = 0.5


class SamRefiner:
    """Refines with a SAM, loaded when it is first needed.

    Args:
        load: Loads it.
        settings: How it is asked.
    """

    def __init__(self, load: Callable[[], Sam], settings: SamSettings | None = None) -> None:
        self._load = load
        self._sam: Sam | None = None
        self.settings = settings or SamSettings()

    def __call__(
        self, image: Image, probability: Float32[np.ndarray, "rows cols"], size: Size
    ) -> Refined:
        """Refine one mask; for several of one photo, `open` it."""
        del size  # the photo's own
        return self.open(image)(probability)

    def open(self, image: Image) -> OpenedPhoto:
        """A photo for several masks: its encoding, made when first needed, serves all of them."""
        return OpenedPhoto(self, image)

    @property
    def sam(self) -> Sam:
        """The model, loaded.

        Raises:
            WeightsError: It cannot be had.
        """
        if self._sam is None:
            self._sam = self._load()
        return self._sam


class OpenedPhoto:
    """One photo, refined for any number of masks; see `SamRefiner.open`."""

    def __init__(self, refiner: SamRefiner, image: Image) -> None:
        self._refiner = refiner
        self._image = image
        self._features: Features | None = None

    def __call__(self, probability: Float32[np.ndarray, "rows cols"]) -> Refined:
        """The mask of those cells, the photo's size."""
        coarse = smooth(self._image, probability, Size(self._image.height, self._image.width))
        if not coarse.mask.any():
            return coarse
        sam, settings = self._refiner.sam, self._refiner.settings
        frame = sam.frame(Size(self._image.height, self._image.width))
        prompt = place_prompt(probability, frame, settings.prompting)
        if prompt is None:
            return coarse
        if self._features is None:
            self._features = sam.encode(self._image)
        best, agreement = None, -1.0
        for number in range(settings.passes):
            candidates, _ = sam.decode(self._features, prompt, several=number == 0)
            agreements = [agree(logits, probability, frame) for logits in candidates]
            chosen = int(np.argmax(agreements))
            if agreements[chosen] > agreement:
                best, agreement = candidates[chosen], agreements[chosen]
            prompt = replace(prompt, mask=candidates[chosen])
        if best is None or agreement < settings.least_agreement:
            note = (
                f"the refiner's best outline agrees with the text by only {agreement:.2f}: "
                "the mask is the smooth one"
            )
            return replace(coarse, notes=(*coarse.notes, note))
        mask = frame.to_photo(best) >= 0
        return Refined(mask) if mask.any() else coarse


def agree(
    logits: Float32[np.ndarray, "side side"],
    probability: Float32[np.ndarray, "rows cols"],
    frame: Frame,
) -> float:
    """How far a candidate covers the cells as their probabilities say, from 0 to 1."""
    rows, cols = probability.shape
    mask = frame.to_photo(logits, Size(rows * _SUBCELLS, cols * _SUBCELLS)) >= 0
    covered = mask.reshape(rows, _SUBCELLS, cols, _SUBCELLS).mean(axis=(1, 3))
    either = np.maximum(covered, probability).sum()
    return float(np.minimum(covered, probability).sum() / either) if either else 0.0
