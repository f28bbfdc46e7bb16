"""Augmentation of cached image features and of the masks that go with them.

The frozen encoders run once per image, so training cannot crop or flip pixels: it moves the feature
maps instead.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from text4seg.models.nano.encoders.vision import DETECTOR_CHANNELS

SIDE = 16
# Share of a box that has to be left in the image; which of its numbers a mirror changes.
_LEAST_LEFT = 0.35
_MIRROR = torch.tensor([1.0, 0.0, 1.0, 0.0])
# Share of the detector's classes that are seen fainter, and of those that are missed.
_FAINT, _MISSED = 0.3, 0.06


def move_maps(maps: Tensor, *, zoom: Tensor, shift: Tensor) -> Tensor:
    """Zoom about a shifted center: `b c 16 16` maps, `b` factors, `b 2` shifts (x, y).

    A shift of 1 is half a side; the maps move against it. Outside the image there is nothing:
    zeros. A cheap stand-in for cropping the image itself.
    """
    theta = torch.zeros(len(maps), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [len(maps), 1, SIDE, SIDE], align_corners=False)
    return functional.grid_sample(
        maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def move_features(seen: Tensor, *, flips: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """What the eyes saw, mirrored where `flips b` say so, then moved: `b rows columns`.

    The boxes behind the cells move with them; what leaves the image is no box any more.
    """
    maps = as_map(seen[:, : SIDE * SIDE])
    maps = torch.where(flips[:, None, None, None], maps.flip(3), maps)
    cells = as_cells(move_maps(maps, zoom=zoom, shift=shift))
    behind = seen[:, SIDE * SIDE :]
    if not behind.shape[1]:
        return cells
    score, box = behind[..., 1], behind[..., 2:6]
    box = torch.where(
        flips[:, None, None], (1 - box)[..., [2, 1, 0, 3]] * _MIRROR + box * (1 - _MIRROR), box
    )
    apart = torch.cat([shift, shift], 1)[:, None]
    moved = ((2 * box - 1 - apart) * zoom[:, None, None] + 1) / 2
    kept = moved.clamp(0.0, 1.0)
    before, after = (_area(b) for b in (moved, kept))
    there = (score > 0) & (after > _LEAST_LEFT * before)
    rows = torch.cat([behind[..., :2], kept, behind[..., 6:]], -1)
    return torch.cat([cells, rows * there[..., None]], 1)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2:] - box[..., :2]).clamp_min(0.0).prod(-1)


def as_map(cells: Tensor) -> Tensor:
    """`b 256 c` → `b c 16 16`."""
    return cells.transpose(1, 2).unflatten(2, (SIDE, SIDE))


def as_cells(maps: Tensor) -> Tensor:
    """`b c 16 16` → `b 256 c`."""
    return maps.flatten(2).transpose(1, 2)


def weaken_detector(seen: Tensor, channels: int, random: np.random.Generator) -> Tensor:
    """Some classes seen fainter, or missed: `b rows columns`, as the eyes give them.

    The last of the `channels` of the cells are the detector's; its boxes behind the cells fade as
    well. It was itself trained on images like these and finds more there than in new ones.
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
    """`q 16 16` coverage → 0 or 1 at one half; the best-covered cells of a small thing stay."""
    best = coverage.amax(dim=(1, 2), keepdim=True)
    floor = torch.minimum(torch.full_like(best, 0.5), best * 0.999)
    return ((coverage >= floor) & (best > 0.02)).float()
