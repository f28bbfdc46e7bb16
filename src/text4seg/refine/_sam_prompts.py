"""From the probability of cells to a SAM's prompt: box, points inside and outside, mask logits.

Everything is computed on the lattice of mask logits that the image covers, without randomness: the
same cells give the same prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from text4seg.core.geometry import cells_to_mask, mask_to_box
from text4seg.core.types import Box
from text4seg.pretrained.frame import Frame, Prompt
from text4seg.refine._field import covering_field

_SMALLEST_PART = 0.1
_SURE_BACKGROUND = 0.02


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How prompts are placed.

    Attributes:
        margin: Distance from the object to the box, in cells.
        inside: Number of points inside the largest connected part; each further part gets one.
        outside: Number of points outside the object.
        parts: The largest number of connected parts that get points.
        logit: The mask prompt's logit where the field is certain.
    """

    margin: float = 0.25
    inside: int = 2
    outside: int = 4
    parts: int = 4
    logit: float = 6.0


def place_prompt(
    probability: Float[np.ndarray, "rows cols"], frame: Frame, settings: PromptSettings
) -> Prompt | None:
    """Make the prompt of one mask.

    Args:
        probability: Of each cell, 0 to 1.
        frame: The image's place in the SAM's square.
        settings: How prompts are placed.

    Returns:
        The prompt, None where no cell reaches one half.
    """
    field = covering_field(probability).at(*frame.lattice_centers())
    object_ = field >= 0.5
    if not object_.any():  # the field of a thin object may stay below one half
        object_ = cells_to_mask(probability >= 0.5, frame.lattice)
    if not object_.any():
        return None
    rows, cols = probability.shape
    cell_height, cell_width = frame.lattice.height / rows, frame.lattice.width / cols
    cell = min(cell_height, cell_width)
    sure = np.clip(2 * field - 0.5, 0, 1)  # widen the steep field to full certainty
    box = _box(object_, settings.margin * cell_width, settings.margin * cell_height)
    inside = _inside(object_, sure, settings, cell)
    outside = _outside(
        object_, sure, settings.outside, cell, reach=float(np.hypot(*(box[2:] - box[:2])))
    )
    step = frame.side / frame.mask_side
    points = np.array([*inside, *outside], dtype=np.float32).reshape(-1, 2) * step
    limits = (frame.inner.width, frame.inner.height)
    return Prompt(
        box=np.minimum(box * step, [*limits, *limits]).astype(np.float32),
        points=np.minimum(points, limits).astype(np.float32),
        labels=np.array([1] * len(inside) + [0] * len(outside), dtype=np.int64),
        mask=frame.pad(settings.logit * (2 * sure - 1), fill=-settings.logit),
    )


def _box(object_: Bool[np.ndarray, "h w"], aside: float, above: float) -> Float64[np.ndarray, "4"]:
    """x0, y0, x1, y1 on the lattice with a margin, clipped to the lattice."""
    tight = mask_to_box(object_) or Box(0, 0, 0, 0)
    height, width = object_.shape
    grown = (tight.x0 - aside, tight.y0 - above, tight.x1 + aside, tight.y1 + above)
    return np.asarray(np.clip(np.array(grown), 0, [width, height, width, height]))


def _inside(
    object_: Bool[np.ndarray, "h w"],
    sure: Float64[np.ndarray, "h w"],
    settings: PromptSettings,
    cell: float,
) -> list[tuple[float, float]]:
    """The most interior points of each connected part that is not tiny beside the largest."""
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(object_.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    points: list[tuple[float, float]] = []
    for place, part in enumerate(np.argsort(-areas, kind="stable")[: settings.parts]):
        if areas[part] < _SMALLEST_PART * areas.max():
            break
        # A border of background, so that the edge of the image counts as an outline.
        padded = np.pad((parts == part + 1).astype(np.uint8), 1)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        gap = max(2 * cell, 0.5 * float(areas[part]) ** 0.5)
        points += _pick(depth * (0.5 + sure), settings.inside if place == 0 else 1, gap)
    return points


def _outside(
    object_: Bool[np.ndarray, "h w"],
    sure: Float64[np.ndarray, "h w"],
    count: int,
    cell: float,
    *,
    reach: float,
) -> list[tuple[float, float]]:
    """Points of certain background, about 1.25 cells off the object, far from one another."""
    import cv2

    distance = cv2.distanceTransform((~object_).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    near = (sure < _SURE_BACKGROUND) & (distance > 0.75 * cell) & (distance < 2.5 * cell)
    score = near / (0.5 + np.abs(distance / cell - 1.25))
    return _pick(score, count, max(3 * cell, 0.35 * reach))


def _pick(score: Float64[np.ndarray, "h w"], count: int, gap: float) -> list[tuple[float, float]]:
    """The places (x, y) of the highest scores above 0, in turn, at least `gap` apart."""
    left = np.array(score, dtype=np.float64)
    ys, xs = np.ogrid[: left.shape[0], : left.shape[1]]
    picked = []
    for _ in range(count):
        y, x = divmod(int(left.argmax()), left.shape[1])
        if left[y, x] <= 0:
            break
        picked.append((x + 0.5, y + 0.5))
        left[(ys - y) ** 2 + (xs - x) ** 2 < gap**2] = 0
    return picked
