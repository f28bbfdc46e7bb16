"""From the probability of cells to what a SAM is told: box, points inside and outside, logits.

All of it is found on the lattice of mask logits that the image covers, by rule: the same cells make
the same prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64

from text4seg.core.geometry import cells_to_mask, mask_to_box
from text4seg.core.types import Box
from text4seg.pretrained.frame import Frame, Prompt
from text4seg.refine._field import covering_field

_SMALLEST_PART = 0.1
_SURE_BACKGROUND = 0.02


@dataclass(frozen=True, slots=True)
class Prompting:
    """How prompts are placed; lengths in cells.

    Attributes:
        margin: How far the box stands off the object.
        inside: Points inside the largest connected part; each further part gets one.
        outside: Points outside.
        parts: Most connected parts that get points.
        logit: The mask prompt's logit where the field is sure.
    """

    margin: float = 0.25
    inside: int = 2
    outside: int = 4
    parts: int = 4
    logit: float = 6.0


def place_prompt(
    probability: Float[np.ndarray, "rows cols"], frame: Frame, how: Prompting
) -> Prompt | None:
    """The prompt for one mask; None where no cell reaches one half."""
    field = covering_field(probability).at(*frame.lattice_centers())
    object_ = field >= 0.5
    if not object_.any():  # a thin thing's field may not reach it
        object_ = cells_to_mask(probability >= 0.5, frame.lattice)
    if not object_.any():
        return None
    rows, cols = probability.shape
    cell_height, cell_width = frame.lattice.height / rows, frame.lattice.width / cols
    cell = min(cell_height, cell_width)
    sure = np.clip(2 * field - 0.5, 0, 1)  # the field is steep: its cut is sharper than it is
    box = _box(object_, how.margin * cell_width, how.margin * cell_height)
    inside = _inside(object_, sure, how, cell)
    outside = _outside(
        object_, sure, how.outside, cell, reach=float(np.hypot(*(box[2:] - box[:2])))
    )
    step = frame.side / frame.mask_side
    points = np.array([*inside, *outside], dtype=np.float32).reshape(-1, 2) * step
    limits = (frame.inner.width, frame.inner.height)
    return Prompt(
        box=np.minimum(box * step, [*limits, *limits]).astype(np.float32),
        points=np.minimum(points, limits).astype(np.float32),
        labels=np.array([1] * len(inside) + [0] * len(outside), dtype=np.int64),
        mask=frame.pad(how.logit * (2 * sure - 1), fill=-how.logit),
    )


def _box(object_: Bool[np.ndarray, "h w"], aside: float, above: float) -> Float64[np.ndarray, "4"]:
    """x0, y0, x1, y1 on the lattice, with its margin, held to the lattice."""
    tight = mask_to_box(object_) or Box(0, 0, 0, 0)
    height, width = object_.shape
    grown = (tight.x0 - aside, tight.y0 - above, tight.x1 + aside, tight.y1 + above)
    return np.asarray(np.clip(np.array(grown), 0, [width, height, width, height]))


def _inside(
    object_: Bool[np.ndarray, "h w"],
    sure: Float64[np.ndarray, "h w"],
    how: Prompting,
    cell: float,
) -> list[tuple[float, float]]:
    """The most interior points of each connected part that is not tiny beside the largest."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(object_.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    points: list[tuple[float, float]] = []
    for place, part in enumerate(np.argsort(-areas, kind="stable")[: how.parts]):
        if areas[part] < _SMALLEST_PART * areas.max():
            break
        # A border of background, so that the edge of the image counts as one.
        padded = np.pad((parts == part + 1).astype(np.uint8), 1)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        gap = max(2 * cell, 0.5 * float(areas[part]) ** 0.5)
        points += _pick(depth * (0.5 + sure), how.inside if place == 0 else 1, gap)
    return points


def _outside(
    object_: Bool[np.ndarray, "h w"],
    sure: Float64[np.ndarray, "h w"],
    count: int,
    cell: float,
    *,
    reach: float,
) -> list[tuple[float, float]]:
    """Surely background, a little more than a cell off the object, far from one another."""
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
