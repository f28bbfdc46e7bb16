"""Boxes: their IoU, and the accuracy of referring expression comprehension (REC).

**Edges.** A `Box` ends just outside: a mask of the columns 3, 4 and 5 has the box x0 = 3, x1 = 6,
three wide, as COCO's `[x, y, width, height]` has it. Tools that count from the first pixel to the
last, both inside (x1 = 5), write boxes one pixel short; `inclusive_to_box` mends them. The two
conventions differ by up to `1 / width + 1 / height` of IoU, which decides the cases near one half.
"""

from __future__ import annotations

from collections.abc import Iterable

from text4seg.core.types import Box


def inclusive_to_box(left: float, top: float, right: float, bottom: float) -> Box:
    """Make a box from the first and the last pixel inside it.

    Args:
        left: The first column.
        top: The first row.
        right: The last column.
        bottom: The last row.

    Returns:
        The box, which ends just outside.
    """
    return Box(left, top, right + 1, bottom + 1)


def box_iou(predicted: Box | None, target: Box | None) -> float:
    """Intersection over union of two boxes.

    Args:
        predicted: The predicted box; None is no box.
        target: The true box, likewise.

    Returns:
        A share from 0 to 1; 1 where there is neither box.
    """
    if predicted is None or target is None:
        return float(predicted is target)
    width = min(predicted.x1, target.x1) - max(predicted.x0, target.x0)
    height = min(predicted.y1, target.y1) - max(predicted.y0, target.y0)
    both = max(width, 0) * max(height, 0)
    union = predicted.area + target.area - both
    return both / union if union else 0.0


def box_acc(pairs: Iterable[tuple[Box | None, Box | None]], threshold: float = 0.5) -> float:
    """REC accuracy: the share of (predicted, target) boxes whose IoU is at least `threshold`.

    Text4Seg's is the box of the mask against the annotated box (§4.4 of the paper). Some scripts
    ask for more than the threshold; MDETR's and ours for at least that much.

    Args:
        pairs: (predicted, target) boxes.
        threshold: The IoU from which on a box is right.

    Returns:
        A share from 0 to 1, or nan over no samples.
    """
    hits = [box_iou(predicted, target) >= threshold for predicted, target in pairs]
    return sum(hits) / len(hits) if hits else float("nan")
