"""Augmentation of cached image features and of the masks that go with them.

The encoders are frozen and run once per image, so training cannot crop or flip pixels. It mirrors,
zooms and shifts the feature maps instead, which is a cheap approximation of the same.

Features are `rows columns`: the first 256 rows are the cells of a 16x16 map, the rows behind them
the detector's boxes (class, score, x0, y0, x1, y1, zeros).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from text4seg.models.nano.encoders.vision import DETECTOR_CHANNELS

SIDE = 16
"""Cells along a side of the feature map."""
# A box that keeps less than this share of its area inside the image is no box any more.
_MIN_VISIBLE = 0.35
# x0 and x1 of a box change under a mirror, y0 and y1 do not.
_MIRRORED = torch.tensor([1.0, 0.0, 1.0, 0.0])
# Share of the detector's classes whose scores are lowered, and of those that are missed.
_FAINT, _MISSED = 0.3, 0.06
# Coverage from which a cell belongs to a mask, and below which nothing does.
_HALF, _TRACE = 0.5, 0.02


def move_maps(maps: Tensor, *, zoom: Tensor, shift: Tensor) -> Tensor:
    """Zoom maps about a shifted center; what comes in from outside the image is zero.

    Args:
        maps: `b c 16 16`.
        zoom: Factor for each map, `b`.
        shift: Shift of the center for each map, `b 2` as (x, y) in halves of a side. The content
            moves against it.

    Returns:
        The moved maps, `b c 16 16`.
    """
    theta = torch.zeros(len(maps), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [len(maps), 1, SIDE, SIDE], align_corners=False)
    return functional.grid_sample(
        maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def move_features(seen: Tensor, *, flips: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """Mirror and move the features of images, the detector's boxes with the cells.

    Args:
        seen: Features, `b rows columns`.
        flips: Which images are mirrored, `b`.
        zoom: As in `move_maps`.
        shift: As in `move_maps`.

    Returns:
        The moved features. A box of which too little stays inside the image becomes zeros.
    """
    maps = as_map(seen[:, : SIDE * SIDE])
    maps = torch.where(flips[:, None, None, None], maps.flip(3), maps)
    cells = as_cells(move_maps(maps, zoom=zoom, shift=shift))
    behind = seen[:, SIDE * SIDE :]
    if not behind.shape[1]:
        return cells
    score, box = behind[..., 1], behind[..., 2:6]
    # Mirrored, the left edge is the right edge's distance from the other side.
    mirrored = (1 - box)[..., [2, 1, 0, 3]] * _MIRRORED + box * (1 - _MIRRORED)
    box = torch.where(flips[:, None, None], mirrored, box)
    # The same map as `affine_grid`'s inverse, in shares of the side instead of -1 to 1.
    apart = torch.cat([shift, shift], 1)[:, None]
    moved = ((2 * box - 1 - apart) * zoom[:, None, None] + 1) / 2
    kept = moved.clamp(0.0, 1.0)
    before, after = (_area(b) for b in (moved, kept))
    there = (score > 0) & (after > _MIN_VISIBLE * before)
    rows = torch.cat([behind[..., :2], kept, behind[..., 6:]], -1)
    return torch.cat([cells, rows * there[..., None]], 1)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2:] - box[..., :2]).clamp_min(0.0).prod(-1)


def as_map(cells: Tensor) -> Tensor:
    """Reshape `b 256 c` to `b c 16 16`."""
    return cells.transpose(1, 2).unflatten(2, (SIDE, SIDE))


def as_cells(maps: Tensor) -> Tensor:
    """Reshape `b c 16 16` to `b 256 c`, row by row."""
    return maps.flatten(2).transpose(1, 2)


def weaken_detector(seen: Tensor, channels: int, random: np.random.Generator) -> Tensor:
    """Lower the detector's scores of some classes, and drop some classes.

    The detector was itself trained on images like these and finds more in them than in new ones;
    without this the model would rely on it too much.

    Args:
        seen: Features, `b rows columns`; they are not changed.
        channels: Columns in use; the last of them are the detector's class map.
        random: Source of randomness.

    Returns:
        A weakened copy. The scores of the boxes behind the cells are lowered alike.
    """
    shape = (len(seen), 1, DETECTOR_CHANNELS)
    faint = np.where(random.random(shape) < _FAINT, random.uniform(0.2, 1.0, shape), 1.0)
    factor = torch.from_numpy(faint * (random.random(shape) >= _MISSED)).float()
    seen = seen.clone()
    cells, channels = SIDE**2, min(channels, seen.shape[-1])
    seen[:, :cells, channels - DETECTOR_CHANNELS : channels] *= factor
    if seen.shape[1] > cells:
        index = seen[:, cells:, 0].long()
        seen[:, cells:, 1] *= factor[:, 0].gather(1, index)
    return seen


def to_cells(coverage: Tensor) -> Tensor:
    """Threshold coverage `q 16 16` to 0 or 1 at one half.

    A thing smaller than half a cell keeps its best-covered cells, so that it does not vanish.
    """
    best = coverage.amax(dim=(1, 2), keepdim=True)
    floor = torch.minimum(torch.full_like(best, _HALF), best * 0.999)
    return ((coverage >= floor) & (best > _TRACE)).float()
