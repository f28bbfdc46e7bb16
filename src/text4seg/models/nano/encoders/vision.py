"""The frozen vision encoder: three pretrained networks describe each of 16×16 cells of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from text4seg.models.nano.encoders import efficientnet
from text4seg.models.nano.encoders.colors import COLORS, colors_of_cells
from text4seg.models.nano.encoders.detected_objects import MOST, WIDTH, select_objects
from text4seg.models.nano.encoders.detector import (
    COCO_CLASSES,
    Detector,
    detect_in_parts,
    detections_to_map,
)
from text4seg.pretrained import tinyvit

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float32
    from PIL import Image

SIDE = 512
CELLS = 16
DETECTOR_CHANNELS = len(COCO_CLASSES)
# EfficientNet's final and middle features, TinyViT's last stage and neck, the detector's class map.
CHANNELS = (
    efficientnet.FINAL_CHANNELS
    + efficientnet.MIDDLE_CHANNELS
    + tinyvit.STAGE_CHANNELS
    + tinyvit.NECK_CHANNELS
    + DETECTOR_CHANNELS
)
# Behind them stand the colors of the cell's pixels; behind the rows of the cells, those of boxes.
ROWS, COLUMNS = CELLS * CELLS + MOST, CHANNELS + len(COLORS)


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """An encoded image, with intermediate results that pseudo-labelling needs.

    Attributes:
        features: Float16, `288 2060`; see `VisionEncoder.encode`.
        detections: Of the image and its parts: (class, score, x0, y0, x1, y1), `n 6`.
        neck: MobileSAM's image embedding, `1 256 32 32`.
    """

    features: torch.Tensor
    detections: Float32[np.ndarray, "n 6"]
    neck: torch.Tensor


class VisionEncoder:
    """Image → features of its cells and of the things that a detector finds.

    It is never trained, so features may be cached.

    Args:
        efficientnet_weights: EfficientNet-Lite0, as safetensors.
        tinyvit_weights: MobileSAM's image encoder, as safetensors.
        graph: The detector's TensorFlow graph.
        layout: OpenCV's description of that graph.
    """

    def __init__(
        self, *, efficientnet_weights: Path, tinyvit_weights: Path, graph: Path, layout: Path
    ) -> None:
        from safetensors.torch import load_file

        # Evaluation mode: batch norms use their stored statistics.
        self._lite = efficientnet.EfficientNetLite0().eval()
        self._lite.load_state_dict(load_file(efficientnet_weights))
        self._vit = tinyvit.TinyViT().eval()
        self._vit.load_state_dict(load_file(tinyvit_weights))
        self._detector = Detector(graph, layout)

    @torch.inference_mode()
    def encode(self, image: Image.Image) -> torch.Tensor:
        """Encode an image.

        It is stretched to a square, never cropped or padded: row and column of a cell are those of
        the text grid.

        Args:
            image: RGB, of any size.

        Returns:
            Float16, `288 2060`: 256 rows of cells, row by row, with 2,048 channels and the shares
            of 12 colors; then 32 rows of detected objects (class, score, x0, y0, x1, y1).
        """
        return self.encode_with_detections(image).features

    @torch.inference_mode()
    def encode_with_detections(self, image: Image.Image) -> ImageFeatures:
        """Encode an image; detections and MobileSAM's embedding beside the features."""
        square = np.asarray(image.convert("RGB").resize((SIDE, SIDE), _bicubic()), dtype=np.uint8)
        pixels = torch.from_numpy(square.copy()).permute(2, 0, 1)[None].float()
        # EfficientNet's final layer has 16×16 positions at 512 pixels; the rest is pooled to them.
        middle, final = self._lite(pixels)
        stage, neck = self._vit(pixels)
        pool = torch.nn.functional.adaptive_avg_pool2d
        maps = [final, pool(middle, CELLS), pool(stage, CELLS), pool(neck, CELLS)]
        visual = torch.cat([m.flatten(2) for m in maps], dim=1)[0].T
        found = detect_in_parts(self._detector.detect, square)
        boxes = detections_to_map(found, CELLS, CELLS)
        colors = colors_of_cells(square, CELLS)
        # One tensor for cells and objects, so that a cache keeps an image in one file.
        features = torch.zeros(ROWS, COLUMNS)
        features[: CELLS * CELLS] = torch.cat(
            [visual, *(torch.from_numpy(m).reshape(CELLS * CELLS, -1) for m in (boxes, colors))], 1
        )
        features[CELLS * CELLS :, :WIDTH] = torch.from_numpy(select_objects(found))
        return ImageFeatures(features.half(), found, neck)


def _bicubic() -> int:
    """Pillow's filter; Pillow is imported where it is used."""
    from PIL import Image

    return int(Image.Resampling.BICUBIC)
