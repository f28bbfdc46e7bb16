"""What the frozen eyes see of every image, computed once and kept in memory and on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PIL import Image

SIDE = 16
# Share of a box that has to be left in the image; which of its numbers a mirror changes.
_LEAST_LEFT = 0.35
_MIRROR = torch.tensor([1.0, 0.0, 1.0, 0.0])


class FeatureStore:
    """`store[image]` → float16 `256 channels`; what has no file is computed by `look` and kept."""

    def __init__(
        self, folder: Path, root: Path, look: Callable[[Image.Image], Tensor] | None = None
    ) -> None:
        self._folder, self._root, self._look = folder, root, look
        self._kept: dict[Path, Tensor] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, image: Path) -> Tensor:
        if image not in self._kept:
            self._kept[image] = self._read(image)
        return self._kept[image]

    def _read(self, image_path: Path) -> Tensor:
        file = self._file(image_path)
        if file.exists():
            stored: Tensor = torch.load(file, weights_only=True)
            return stored
        if self._look is None:
            raise FileNotFoundError(f"{file}: no features, and no eyes to compute them with")
        from PIL import Image

        with Image.open(image_path) as image:
            seen = self._look(image)
        self.keep(image_path, seen)
        return seen

    def keep(self, image: Path, seen: Tensor) -> None:
        """Writes the features of an image, whole or not at all."""
        file = self._file(image)
        beside = file.with_suffix(f".{os.getpid()}")
        torch.save(seen, beside)
        beside.rename(file)

    def _file(self, image: Path) -> Path:
        """Named by the path with its slashes escaped, so that two images never share a file.

        Images under the root by their path there, composed ones by theirs beside the features.
        """
        root = self._root if image.is_relative_to(self._root) else self._folder.parent
        return self._folder / (quote(image.relative_to(root).as_posix(), safe="") + ".pt")


def statistics(features: Iterable[Tensor], visual_channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every visual channel."""
    total, square, count = torch.zeros(()), torch.zeros(()), 0
    for seen in features:
        visual = seen[: SIDE * SIDE, :visual_channels].float()
        total, square, count = (
            total + visual.sum(0),
            square + visual.pow(2).sum(0),
            count + len(visual),
        )
    mean = total / count
    return mean, (square / count - mean.pow(2)).clamp_min(1e-4).sqrt()


def move(maps: Tensor, *, zoom: Tensor, shift: Tensor) -> Tensor:
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


def move_sights(seen: Tensor, *, flips: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """What the eyes saw, mirrored where `flips b` say so, then moved: `b rows columns`.

    The boxes behind the cells move with them; what leaves the image is no box any more.
    """
    maps = as_map(seen[:, : SIDE * SIDE])
    maps = torch.where(flips[:, None, None, None], maps.flip(3), maps)
    cells = as_cells(move(maps, zoom=zoom, shift=shift))
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
