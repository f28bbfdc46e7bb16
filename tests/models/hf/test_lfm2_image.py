"""LFM2-VL's image processor: one square as one tile of patches, without torchvision."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from text4seg.models.hf.lfm2_image import Lfm2VlImageProcessorPil


@pytest.mark.parametrize("side", [64, 96])
def test_a_square_is_one_tile_with_all_its_patches(side: int) -> None:
    image = Image.new("RGB", (side, side), (255, 0, 0))
    made = Lfm2VlImageProcessorPil()(images=[image], return_tensors="pt")
    patches = (side // 16) ** 2
    assert made["pixel_values"].shape == (1, patches, 16 * 16 * 3)
    assert made["spatial_shapes"].tolist() == [[side // 16, side // 16]]
    assert (made["image_rows"], made["image_cols"]) == ([1], [1])
    assert made["image_sizes"] == [[side, side]]
    # Red is 1 and the other channels -1 after the normalization, in every patch: nothing is padded.
    pixels = np.asarray(made["pixel_values"]).reshape(patches, 16, 16, 3)
    assert np.allclose(pixels, [1.0, -1.0, -1.0], atol=1e-5)
