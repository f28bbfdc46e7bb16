"""SSD-MobileNetV2 trained on COCO, run by OpenCV: boxes of 80 classes, and their map of cells.

SSD: Liu et al. 2016, arXiv:1512.02325; MobileNetV2: Sandler et al. 2018, arXiv:1801.04381.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float32, UInt8

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
# COCO's category ids run to 90; ten of them were never used.
_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
_CATEGORY_TO_CLASS = {
    category: index for index, category in enumerate(i for i in range(1, 91) if i not in _GAPS)
}
_INPUT_SIDE = 300
_MIN_SCORE = 0.02
# Side of a part in shares of the image's; a box so near to a part's inner border is cut off.
_PART = 0.6
_BORDER = 0.01


class Detector:
    """The detector, loaded.

    Args:
        graph: Its TensorFlow graph.
        layout: OpenCV's description of that graph.
    """

    def __init__(self, graph: Path, layout: Path) -> None:
        import cv2

        self._blob = cv2.dnn.blobFromImage
        self._network = cv2.dnn.readNetFromTensorflow(str(graph), str(layout))

    def detect(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "n 6"]:
        """Find things in an image.

        Args:
            pixels: RGB; it is stretched to 300×300.

        Returns:
            Rows of (class, score, x0, y0, x1, y1): an index of `COCO_CLASSES`, 0 to 1, and corners
            in shares of the image.
        """
        blob = self._blob(pixels, size=(_INPUT_SIDE, _INPUT_SIDE))
        self._network.setInput(blob)
        found = self._network.forward()[0, 0]
        kept = [
            [_CATEGORY_TO_CLASS[int(category)], score, *np.clip(box, 0.0, 1.0)]
            for _, category, score, *box in found
            # Faint boxes are kept: the fusion learned how much to believe of them.
            if score >= _MIN_SCORE and int(category) in _CATEGORY_TO_CLASS
        ]
        return np.asarray(kept, dtype=np.float32).reshape(-1, 6)


def detect_in_parts(
    detect: Callable[[UInt8[np.ndarray, "h w 3"]], Float32[np.ndarray, "n 6"]],
    pixels: UInt8[np.ndarray, "side side 3"],
) -> Float32[np.ndarray, "n 6"]:
    """Find things in a square image and in four overlapping parts of it.

    The detector misses what is small on its 300×300 pixels; in a part it is larger. A box that
    touches an inner border of its part is cut off there and dropped: the whole image or another
    part has all of it.

    Args:
        detect: `Detector.detect`.
        pixels: RGB, square.

    Returns:
        All detections as `Detector.detect` returns them, in shares of the whole image.
    """
    side = len(pixels)
    part = round(side * _PART)
    found = [detect(pixels)]
    for top in (0, side - part):
        for left in (0, side - part):
            boxes = detect(np.ascontiguousarray(pixels[top : top + part, left : left + part]))
            # Inner borders alone: at the image's own border things may well end.
            cut = (boxes[:, 2] < _BORDER) if left else (boxes[:, 4] > 1 - _BORDER)
            cut |= (boxes[:, 3] < _BORDER) if top else (boxes[:, 5] > 1 - _BORDER)
            boxes = boxes[~cut]
            boxes[:, [2, 4]] = (boxes[:, [2, 4]] * part + left) / side
            boxes[:, [3, 5]] = (boxes[:, [3, 5]] * part + top) / side
            found.append(boxes)
    return np.concatenate(found)


def detections_to_map(
    detections: Float32[np.ndarray, "n 6"], rows: int, cols: int
) -> Float32[np.ndarray, "rows cols 80"]:
    """Rasterise detections.

    Args:
        detections: As `Detector.detect` returns them.
        rows: Rows of the map.
        cols: Columns of the map.

    Returns:
        For each cell and class the largest product of a box's score and its share of the cell.
    """
    result = np.zeros((rows, cols, len(COCO_CLASSES)), dtype=np.float32)
    for class_index, score, x0, y0, x1, y1 in detections:
        # The share of a cell under a box is the product of the shares along both axes.
        down = _interval_coverage(y0, y1, rows)
        along = _interval_coverage(x0, x1, cols)
        layer = result[:, :, int(class_index)]
        np.maximum(layer, score * np.outer(down, along), out=layer)
    return result


def _interval_coverage(start: float, stop: float, cells: int) -> Float32[np.ndarray, " cells"]:
    """Share of each of `cells` equal parts of [0, 1] that [start, stop] covers."""
    edges = np.arange(cells + 1, dtype=np.float32) / cells
    overlap = np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)
    return np.clip(overlap * cells, 0.0, 1.0).astype(np.float32)
