"""Sharp outlines from a SAM (Segment Anything model), prompted by the cells.

The image is encoded once, at its first mask that is not empty. Each mask becomes one prompt and a
few passes of the decoder; each pass is given the logits of the pass before that cover the cells
best. What happens to the result depends on what the probabilities are:

- Probabilities that read as coverage (soft cells at the outline): the best candidate of all passes
  wins, and its outline is shifted until it covers each cell by its probability.
- Yes or no, or nearly so: the last pass wins, and its outline is shifted only where a cell would
  change sides.

Where even the best outline disagrees with the text, the mask of `smooth` stays, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.geometry import cells_to_mask
from text4seg.core.types import Size
from text4seg.refine._field import Field, clamp_off_outline, shift_to_cover, softness
from text4seg.refine._sam_prompts import PromptSettings, place_prompt
from text4seg.refine.interface import RefinedMask, RefinerSpec
from text4seg.refine.smooth import smooth

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.pretrained.frame import Frame, Prompt
    from text4seg.pretrained.sam import ImageFeatures, Sam

_PACKAGES = ("torch", "transformers", "cv2")
_SUBCELLS = 8
_HEIGHT = 1.0
_SURE = 3.0
_MARKED = 0.5


def sam(spec: RefinerSpec) -> SamRefiner:
    """MobileSAM, embedded; sam@768 for another long side, sam:FOLDER for another SAM."""
    return _embedded(spec, int8=False) if spec.model is None else _from_folder(spec)


def sam_int8(spec: RefinerSpec) -> SamRefiner:
    """MobileSAM with its encoder's weights as bytes; runs on the CPU."""
    return _embedded(spec, int8=True)


def sam2(spec: RefinerSpec) -> SamRefiner:
    """SAM 2 from a folder or a hub: sam2:FOLDER."""
    return _from_folder(spec)


def sam3(spec: RefinerSpec) -> SamRefiner:
    """The tracker of SAM 3 from a folder or a hub: sam3:FOLDER."""
    return _from_folder(spec)


def sam_hq(spec: RefinerSpec) -> SamRefiner:
    """SAM-HQ from a folder or a hub: sam_hq:FOLDER."""
    return _from_folder(spec)


def missing_package() -> str | None:
    """Get the first package that a SAM needs and that is not installed; None if all are there."""
    return next((name for name in _PACKAGES if find_spec(name) is None), None)


def _embedded(spec: RefinerSpec, *, int8: bool) -> SamRefiner:
    """The embedded MobileSAM at the side of the spec."""
    _check_installed()
    if spec.model is not None:
        raise InputError(f"another model is written as in sam2:FOLDER, got {spec.text!r}")
    side = 1024
    if spec.side is not None:
        side = int(spec.side) if re.fullmatch(r"\d{2,4}", spec.side) else 0
    if side < 64 or side % 32 or side > 2048:
        raise InputError(
            f"a refiner's side is a multiple of 32 from 64 to 2048, as in sam@768, "
            f"got {spec.text!r}"
        )

    def load() -> Sam:
        from text4seg.pretrained.sam import Sam

        return Sam.embedded(side, int8=int8)

    return SamRefiner(load)


def _from_folder(spec: RefinerSpec) -> SamRefiner:
    """The model of the spec; its family is the spec's name."""
    _check_installed()
    folder = spec.model
    if not folder:
        raise InputError(
            f"{spec.name} needs a model's folder or name, as in {spec.name}:FOLDER, "
            f"got {spec.text!r}"
        )
    if spec.side is not None:
        raise InputError(
            f"another model has a side of its own: write {spec.name}:{folder}, got {spec.text!r}"
        )

    def load() -> Sam:
        from text4seg.pretrained.sam import Sam

        return Sam.from_pretrained(folder, family=spec.name)

    return SamRefiner(load)


def _check_installed() -> None:
    package = missing_package()
    if package is not None:
        raise MissingExtraError(package, "hf")


@dataclass(frozen=True, slots=True)
class SamSettings:
    """How a SAM is prompted and when its outline is taken.

    Attributes:
        prompts: How prompts are placed.
        passes: Decoder passes for each mask.
        coverage: From this softness (`softness`, 0 to 1) on, probabilities are read as coverage.
        slack: Where they are not coverage: the largest difference between a cell's probability and
            its share of the outline. With one half, a cell of probability 1 stays half covered.
        least_agreement: Below this agreement (`agree`, 0 to 1) the mask of `smooth` stays.
    """

    prompts: PromptSettings = field(default_factory=PromptSettings)
    passes: int = 2
    coverage: float = 0.15
    slack: float = 0.5
    least_agreement: float = 0.5


class SamRefiner:
    """Refines with a SAM that is loaded at the first mask.

    Args:
        load: Loads the model.
        settings: How it is prompted.
    """

    def __init__(self, load: Callable[[], Sam], settings: SamSettings | None = None) -> None:
        self._load = load
        self._sam: Sam | None = None
        self.settings = settings or SamSettings()

    def prepare(self, image: Image) -> SamImage:
        """Take an image; its encoding is made at the first mask and serves all of them."""
        return SamImage(self, image)

    @property
    def sam(self) -> Sam:
        """The model, loaded.

        Raises:
            WeightsError: The weights are missing, damaged or cannot be fetched.
        """
        if self._sam is None:
            self._sam = self._load()
        return self._sam


class SamImage:
    """One image, refined for any number of masks; see `SamRefiner.prepare`."""

    def __init__(self, refiner: SamRefiner, image: Image) -> None:
        self._refiner = refiner
        self._image = image
        self._features: ImageFeatures | None = None

    def __call__(self, probability: Float32[np.ndarray, "rows cols"]) -> RefinedMask:
        """Refine one mask; the result has the image's size."""
        coarse = smooth(self._image, probability, Size(self._image.height, self._image.width))
        if not coarse.mask.any():
            return coarse
        sam, settings = self._refiner.sam, self._refiner.settings
        frame = sam.frame(Size(self._image.height, self._image.width))
        prompt = place_prompt(probability, frame, settings.prompts)
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
        return RefinedMask(mask) if mask.any() else coarse

    def _outline(
        self,
        features: ImageFeatures,
        frame: Frame,
        prompt: Prompt,
        probability: Float32[np.ndarray, "rows cols"],
    ) -> tuple[Float32[np.ndarray, "side side"], float]:
        """The winning logits and their agreement with the cells."""
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
    """Shift an outline until it covers each cell by its probability.

    The SAM decides the shape of the outline within the cells, the text how much of each cell is
    inside. An uncertain cell where the SAM found nothing does not become a separate piece.

    Args:
        logits: Mask logits of the SAM's square.
        probability: Of each cell, 0 to 1.
        frame: The image's place in the square.
        slack: The largest allowed difference between probability and covered share.

    Returns:
        The mask, the image's size.
    """
    rows, cols = probability.shape
    share = clamp_off_outline(probability).astype(np.float64)
    least, most = np.maximum(share - slack, 0), np.minimum(share + slack, 1)
    samples = _flatten(frame.to_image(logits, Size(rows * _SUBCELLS, cols * _SUBCELLS)))
    shift = Field(shift_to_cover(samples, least, most))
    ys, xs = ((np.arange(n) + 0.5) / n for n in (frame.image.height, frame.image.width))
    own = frame.to_image(logits)
    shifted = np.asarray(_flatten(own) + shift.at(ys, xs) >= 0.5)
    marked = cells_to_mask(probability >= _MARKED, frame.image)
    return _connected_to(shifted, (own >= 0) | marked)


def _connected_to(
    mask: Bool[np.ndarray, "h w"], anchor: Bool[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """The connected pieces of the mask that touch the anchor."""
    import cv2

    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, dtype=bool)
    kept[np.unique(pieces[mask & anchor])] = True
    return np.asarray(kept[pieces])


def _flatten(logits: Float32[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    """Logits as a field with its outline at one half that saturates where the SAM is sure."""
    # Unbounded logits would need shifts as large as the SAM's confidence to move the outline.
    return 0.5 + _HEIGHT * np.tanh(logits.astype(np.float64) / _SURE)


def agree(
    logits: Float32[np.ndarray, "side side"],
    probability: Float32[np.ndarray, "rows cols"],
    frame: Frame,
) -> float:
    """Compare a candidate with the cells.

    Args:
        logits: Mask logits of the SAM's square.
        probability: Of each cell, 0 to 1.
        frame: The image's place in the square.

    Returns:
        The sum over cells of the smaller of probability and covered share, over that of the larger
        (a soft IoU, 0 to 1).
    """
    rows, cols = probability.shape
    mask = frame.to_image(logits, Size(rows * _SUBCELLS, cols * _SUBCELLS)) >= 0
    covered = mask.reshape(rows, _SUBCELLS, cols, _SUBCELLS).mean(axis=(1, 3))
    either = np.maximum(covered, probability).sum()
    return float(np.minimum(covered, probability).sum() / either) if either else 0.0
