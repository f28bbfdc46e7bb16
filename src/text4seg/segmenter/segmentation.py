"""What a segmenter returns: the answer to one expression about one image."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32

from text4seg.codec import Repair
from text4seg.core.errors import MissingExtraError
from text4seg.core.files import mask_file, write_atomically
from text4seg.core.geometry import mask_to_box
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Box, DescriptorGrid
from text4seg.images import draw_overlay, image_to_png, mask_to_png
from text4seg.segmenter.generation import Validity

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class SegmentationStats:
    """What an answer cost and what it covers.

    Attributes:
        grid: Rows x columns.
        format: The text format that the model wrote.
        tokens: Tokens of the mask text.
        passes: Forward passes of the model after the prompt; 0 where a server does not tell.
        forced: Tokens that the grammar left no choice about.
        drafted: Tokens that were guessed ahead of the model.
        accepted: Guesses that the model confirmed.
        seconds: Wall time, with this answer's part of opening the image.
        share: Share of the image's pixels under the mask.
        score: How sure the model is: the mean probability of the label over its cells; 0 if empty.
        no_target_probability: How probable it was that nothing would be marked: exact where
            nothing is, else an upper bound.
    """

    grid: str
    format: str
    tokens: int
    passes: int
    forced: int
    drafted: int
    accepted: int
    seconds: float
    share: float
    score: float
    no_target_probability: float


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The answer to one expression about one image.

    Attributes:
        expression: What was asked for; also the label in the text.
        text: The mask as the model wrote it.
        grid: The text, read.
        probability: For each cell, how probable the label is; at least one half where the text
            has it.
        mask: Pixels of the image.
        repairs: What had to be repaired to read the text; none under a grammar.
        validity: Whether the text was read strictly, after repairs, or not at all.
        notes: What the refiner had to say.
        stats: What the answer cost and what it covers.
        image: The image, upright RGB.
    """

    expression: str
    text: str
    grid: DescriptorGrid
    probability: Float32[np.ndarray, "rows cols"]
    mask: Bool[np.ndarray, "h w"]
    repairs: tuple[Repair, ...]
    validity: Validity
    notes: tuple[str, ...]
    stats: SegmentationStats
    image: Image = field(repr=False)

    @property
    def box(self) -> Box | None:
        """The smallest box around the mask in pixels; None if it is empty."""
        return mask_to_box(self.mask)

    @property
    def score(self) -> float:
        """How sure the model is of what it marked, from 0 to 1; 0 where it marked nothing."""
        return self.stats.score

    @property
    def no_target_probability(self) -> float:
        """The probability of marking nothing, before anything was written.

        Exact where the answer is empty; otherwise an upper bound, from what stands before the
        first marked cell. Under a server that returns text alone it is 0 or 1.
        """
        return self.stats.no_target_probability

    @property
    def empty(self) -> bool:
        """Whether the model answered that nothing in the image is meant."""
        return self.grid.is_empty

    def to_coco(self) -> dict[str, Any]:
        """The mask as a COCO result: run lengths, box (x, y, width, height), area and score.

        Returns:
            The fields of a COCO result but for the ids.
        """
        box = self.box or Box(0, 0, 0, 0)
        return {
            "segmentation": mask_to_rle(self.mask),
            "bbox": [box.x0, box.y0, box.width, box.height],
            "area": int(self.mask.sum()),
            "score": self.score,
        }

    def to_record(self) -> dict[str, Any]:
        """Everything but the pictures, ready for JSON; the box is x0, y0, x1, y1 in pixels.

        Returns:
            The record that `text4seg segment --json` prints.
        """
        box = self.box
        return {
            "expression": self.expression,
            "empty": self.empty,
            "score": self.score,
            "box": [box.x0, box.y0, box.x1, box.y1] if box else None,
            "mask": mask_to_rle(self.mask),
            "text": self.text,
            "validity": self.validity,
            "repairs": [{"row": repair.row, "what": repair.what} for repair in self.repairs],
            "notes": list(self.notes),
            "stats": asdict(self.stats),
        }

    def to_supervision(self) -> Any:
        """As `supervision.Detections`: one of them, or none where nothing was marked.

        The expression stands in its data as `class_name`.

        Returns:
            The detections.

        Raises:
            MissingExtraError: The package supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise MissingExtraError("supervision", "supervision") from error
        box = self.box
        if box is None:
            return supervision.Detections.empty()
        return supervision.Detections(
            xyxy=np.array([[box.x0, box.y0, box.x1, box.y1]], dtype=np.float32),
            mask=self.mask[None],
            confidence=np.array([self.score], dtype=np.float32),
            class_id=np.zeros(1, dtype=int),
            data={"class_name": np.array([self.expression])},
        )

    def save(self, folder: str | PathLike[str], stem: str) -> tuple[Path, Path]:
        """Write `STEM.mask.png` and `STEM.overlay.png`.

        Args:
            folder: Where to; it is made if it is not there.
            stem: The beginning of both file names.

        Returns:
            The paths of the mask and of the overlay.

        Raises:
            OutputError: They cannot be written; no half-written file is left.
        """
        mask, overlay = (Path(folder) / mask_file(stem, kind) for kind in ("mask", "overlay"))
        drawn = draw_overlay(self.image, self.mask, caption=self.expression)
        write_atomically(mask, mask_to_png(self.mask))
        write_atomically(overlay, image_to_png(drawn))
        return mask, overlay
