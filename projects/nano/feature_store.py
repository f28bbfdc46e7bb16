"""What the frozen eyes see of every image, computed once and kept in memory and on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PIL import Image


CELLS = 256


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
        visual = seen[:CELLS, :visual_channels].float()
        total, square, count = (
            total + visual.sum(0),
            square + visual.pow(2).sum(0),
            count + len(visual),
        )
    mean = total / count
    return mean, (square / count - mean.pow(2)).clamp_min(1e-4).sqrt()
