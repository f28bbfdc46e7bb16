"""Sharp outlines from a SAM, told where to look by the cells.

The image is encoded once, at its first mask that is not empty. Each mask is then a prompt and a few
passes of the decoder, each fed the logits of the one before that cover the cells most as the text
says. Where the probabilities read as coverage, the best candidate of all passes wins, and its
outline is shifted until it covers each cell by its share; where they are a yes or no, or nearly so,
the SAM knows better: its last pass wins, and is shifted only where a cell would change sides. Where
even that outline disagrees with the text, what is smooth stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64

from text4seg.core.geometry import cells_to_mask
from text4seg.core.types import Size
from text4seg.refine._field import Field, held_inside, shift_to_cover, softness
from text4seg.refine._prompts import Prompting, place_prompt
from text4seg.refine._protocol import Refined
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.pretrained.frame import Frame, Prompt
    from text4seg.pretrained.sam import Features, Sam

_SUBCELLS = 8
_HEIGHT = 1.0
_SURE = 3.0
_MARKED = 0.5


@dataclass(frozen=True, slots=True)
class SamSettings:
    """How a SAM is asked and when it is believed.

    Attributes:
        prompting: How prompts are placed.
        passes: Of the decoder, for each mask.
        coverage: From this softness on, probabilities are read as coverage of the cells.
        slack: How far the outline's coverage of a cell may be from a probability that is none: with
            one half, a cell that the text says yes to stays covered by half.
        least_agreement: Below this the smooth mask stays, and the notes say so. Agreement is the
            sum over cells of the smaller of probability and coverage, over that of the larger.
    """

    prompting: Prompting = field(default_factory=Prompting)
    passes: int = 2
    coverage: float = 0.15
    slack: float = 0.5
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
        """Refine one mask; for several of one image, `open` it."""
        del size  # the image's own
        return self.open(image)(probability)

    def open(self, image: Image) -> OpenedImage:
        """An image for several masks: its encoding, made when first needed, serves all of them."""
        return OpenedImage(self, image)

    @property
    def sam(self) -> Sam:
        """The model, loaded.

        Raises:
            WeightsError: It cannot be had.
        """
        if self._sam is None:
            self._sam = self._load()
        return self._sam


class OpenedImage:
    """One image, refined for any number of masks; see `SamRefiner.open`."""

    def __init__(self, refiner: SamRefiner, image: Image) -> None:
        self._refiner = refiner
        self._image = image
        self._features: Features | None = None

    def __call__(self, probability: Float32[np.ndarray, "rows cols"]) -> Refined:
        """The mask of those cells, the image's size."""
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
        best, agreement = self._outline(self._features, frame, prompt, probability)
        if agreement < settings.least_agreement:
            note = (
                f"the refiner's best outline agrees with the text by only {agreement:.2f}: "
                "the mask is the smooth one"
            )
            return replace(coarse, notes=(*coarse.notes, note))
        slack = 0.0 if softness(probability) >= settings.coverage else settings.slack
        mask = cover(best, probability, frame, slack)
        return Refined(mask) if mask.any() else coarse

    def _outline(
        self,
        features: Features,
        frame: Frame,
        prompt: Prompt,
        probability: Float32[np.ndarray, "rows cols"],
    ) -> tuple[Float32[np.ndarray, "side side"], float]:
        """The logits that win, and how far they agree with the cells."""
        sam, settings = self._refiner.sam, self._refiner.settings
        coverage = softness(probability) >= settings.coverage
        best, agreement = prompt.mask, -1.0
        for number in range(settings.passes):
            candidates, _ = sam.decode(features, prompt, several=number == 0)
            agreements = [agree(logits, probability, frame) for logits in candidates]
            chosen = int(np.argmax(agreements))
            needed = agreement if coverage else min(agreement, settings.least_agreement)
            if agreements[chosen] > needed:
                best, agreement = candidates[chosen], agreements[chosen]
            prompt = replace(prompt, mask=candidates[chosen])
        return best, agreement


def cover(
    logits: Float32[np.ndarray, "side side"],
    probability: Float32[np.ndarray, "rows cols"],
    frame: Frame,
    slack: float,
) -> Bool[np.ndarray, "h w"]:
    """The mask of these logits, shifted until it covers each cell by its probability, within slack.

    The outline keeps its shape within the cells; how much of each lies inside is the text's word.
    A doubtful cell where the SAM saw nothing does not become a piece on its own.
    """
    rows, cols = probability.shape
    share = held_inside(probability).astype(np.float64)
    least, most = np.maximum(share - slack, 0), np.minimum(share + slack, 1)
    samples = _levelled(frame.to_image(logits, Size(rows * _SUBCELLS, cols * _SUBCELLS)))
    shift = Field(shift_to_cover(samples, least, most))
    ys, xs = ((np.arange(n) + 0.5) / n for n in (frame.image.height, frame.image.width))
    own = frame.to_image(logits)
    shifted = np.asarray(_levelled(own) + shift.at(ys, xs) >= 0.5)
    marked = cells_to_mask(probability >= _MARKED, frame.image)
    return _pieces_that_touch(shifted, (own >= 0) | marked)


def _pieces_that_touch(
    mask: Bool[np.ndarray, "h w"], anchor: Bool[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """What of the mask hangs together with the anchor."""
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, dtype=bool)
    kept[np.unique(pieces[mask & anchor])] = True
    return np.asarray(kept[pieces])


def _levelled(logits: Float32[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    """Logits as a field whose outline is at one half, and that is flat where the SAM is sure.

    Far from the outline the shift must not have to climb over how sure the SAM is.
    """
    return 0.5 + _HEIGHT * np.tanh(logits.astype(np.float64) / _SURE)


def agree(
    logits: Float32[np.ndarray, "side side"],
    probability: Float32[np.ndarray, "rows cols"],
    frame: Frame,
) -> float:
    """How far a candidate covers the cells as their probabilities say, from 0 to 1."""
    rows, cols = probability.shape
    mask = frame.to_image(logits, Size(rows * _SUBCELLS, cols * _SUBCELLS)) >= 0
    covered = mask.reshape(rows, _SUBCELLS, cols, _SUBCELLS).mean(axis=(1, 3))
    either = np.maximum(covered, probability).sum()
    return float(np.minimum(covered, probability).sum() / either) if either else 0.0
