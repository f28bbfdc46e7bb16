"""What the frozen eyes see of every photo, computed once and kept in memory and on disk."""

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


class FeatureStore:
    """`store[photo]` → float16 `256 channels`; what has no file is computed by `look` and kept."""

    def __init__(
        self, folder: Path, root: Path, look: Callable[[Image.Image], Tensor] | None = None
    ) -> None:
        self._folder, self._root, self._look = folder, root, look
        self._kept: dict[Path, Tensor] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, photo: Path) -> Tensor:
        if photo not in self._kept:
            self._kept[photo] = self._read(photo)
        return self._kept[photo]

    def _read(self, photo: Path) -> Tensor:
        file = self._file(photo)
        if file.exists():
            stored: Tensor = torch.load(file, weights_only=True)
            return stored
        if self._look is None:
            raise FileNotFoundError(f"{file}: no features, and no eyes to compute them with")
        from PIL import Image

        with Image.open(photo) as image:
            seen = self._look(image)
        self.keep(photo, seen)
        return seen

    def keep(self, photo: Path, seen: Tensor) -> None:
        """Writes the features of a photo, whole or not at all."""
        file = self._file(photo)
        beside = file.with_suffix(f".{os.getpid()}")
        torch.save(seen, beside)
        beside.rename(file)

    def _file(self, photo: Path) -> Path:
        """Named by the path with its slashes escaped, so that two photos never share a file."""
        return self._folder / (quote(photo.relative_to(self._root).as_posix(), safe="") + ".pt")


def statistics(features: Iterable[Tensor], detector_channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every visual channel."""
    total, square, count = torch.zeros(()), torch.zeros(()), 0
    for seen in features:
        visual = seen[:, :-detector_channels].float()
        total, square, count = (
            total + visual.sum(0),
            square + visual.pow(2).sum(0),
            count + len(visual),
        )
    mean = total / count
    return mean, (square / count - mean.pow(2)).clamp_min(1e-4).sqrt()


def move(maps: Tensor, *, zoom: Tensor, shift: Tensor) -> Tensor:
    """Zoom about a shifted centre: `b c 16 16` maps, `b` factors, `b 2` shifts (x, y).

    A shift of 1 is half a side; the maps move against it. Outside the photo there is nothing:
    zeros. A cheap stand-in for cropping the photo itself.
    """
    theta = torch.zeros(len(maps), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [len(maps), 1, SIDE, SIDE], align_corners=False)
    return functional.grid_sample(
        maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def as_map(cells: Tensor) -> Tensor:
    """`b 256 c` → `b c 16 16`."""
    return cells.transpose(1, 2).unflatten(2, (SIDE, SIDE))


def as_cells(maps: Tensor) -> Tensor:
    """`b c 16 16` → `b 256 c`."""
    return maps.flatten(2).transpose(1, 2)
