"""The detector's boxes one by one: a class map merges what stands side by side, these do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32

MOST = 32
"""Boxes that are kept of an image."""
WIDTH = 6
# Boxes below this score are noise. Of two boxes of a class with a larger IoU than `_OVERLAP`, or of
# which the worse one lies inside the better one by `_INSIDE`, the better one stays.
_LEAST_SCORE, _OVERLAP, _INSIDE = 0.15, 0.5, 0.9


def select_objects(detections: Float32[np.ndarray, "n 6"]) -> Float32[np.ndarray, "32 6"]:
    """Merge the detections of the whole image and of its parts.

    Non-maximum suppression a class; a box inside a better one goes as well, since parts of the
    image show things cut off.

    Args:
        detections: (class, score, x0, y0, x1, y1) in shares of the image.

    Returns:
        The 32 surest things in order; rows of zeros where there are fewer.
    """
    # Stable, so that equal scores keep the detector's order.
    order = np.argsort(-detections[:, 1], kind="stable")
    kept: list[Float32[np.ndarray, " 6"]] = []
    for row in detections[order]:
        if row[1] < _LEAST_SCORE or len(kept) == MOST:
            break
        if not any(row[0] == other[0] and _same(row[2:], other[2:]) for other in kept):
            kept.append(row)
    result = np.zeros((MOST, WIDTH), dtype=np.float32)
    if kept:
        result[: len(kept)] = np.stack(kept)
    return result


def _same(box: Float32[np.ndarray, " 4"], better: Float32[np.ndarray, " 4"]) -> bool:
    """Whether a box is of the same thing as a surer one of its class."""
    low, high = np.maximum(box[:2], better[:2]), np.minimum(box[2:], better[2:])
    shared = float(np.prod(np.clip(high - low, 0.0, None)))
    area, other = (float(np.prod(b[2:] - b[:2])) for b in (box, better))
    union = area + other - shared
    return union > 0 and (shared / union > _OVERLAP or shared / max(area, 1e-9) > _INSIDE)
