"""Features of the frozen vision encoders, computed once and kept in memory and on disk."""

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
    """Features by image: `store[image]` is float16 `rows channels`."""

    def __init__(
        self, folder: Path, root: Path, encode: Callable[[Image.Image], Tensor] | None = None
    ) -> None:
        """Open a store.

        Args:
            folder: Where the files are; made if missing.
            root: Folder that the images' paths start from.
            encode: Computes missing features; without it a missing file is an error.
        """
        self._folder, self._root, self._encode = folder, root, encode
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
        if self._encode is None:
            raise FileNotFoundError(f"{file}: no features, and no encoder to compute them with")
        from PIL import Image

        with Image.open(image_path) as image:
            seen = self._encode(image)
        self.keep(image_path, seen)
        return seen

    def keep(self, image: Path, seen: Tensor) -> None:
        """Write the features of an image, whole or not at all."""
        file = self._file(image)
        beside = file.with_suffix(f".{os.getpid()}")
        torch.save(seen, beside)
        beside.rename(file)

    def _file(self, image: Path) -> Path:
        """Name a file by the image's path, slashes escaped, so that no two images share one.

        Composed images are not under the root; their path starts beside the features.
        """
        root = self._root if image.is_relative_to(self._root) else self._folder.parent
        return self._folder / (quote(image.relative_to(root).as_posix(), safe="") + ".pt")


def statistics(features: Iterable[Tensor], visual_channels: int) -> tuple[Tensor, Tensor]:
    """Compute the mean and standard deviation of each visual channel.

    Args:
        features: Features of some images.
        visual_channels: Channels that count; the detector's behind them are left as they are.

    Returns:
        Mean and standard deviation, each `visual_channels`.
    """
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
