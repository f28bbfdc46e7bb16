"""LFM2-VL's image processor without torchvision, which transformers has no version of.

It reads one square image as one tile. The square has to be what the model takes as it is: its side
a multiple of a token's (patch size times downsampling), at most 256 tokens.
"""

from __future__ import annotations

from typing import Any

from transformers import BatchFeature
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    Siglip2ImageProcessorKwargs,
    Siglip2ImageProcessorPil,
)


class _Options(Siglip2ImageProcessorKwargs, total=False):
    encoder_patch_size: int
    downsample_factor: int
    do_image_splitting: bool
    use_thumbnail: bool
    tile_size: int
    return_row_col_info: bool


class Lfm2VlImageProcessorPil(Siglip2ImageProcessorPil):
    """Patches of SigLIP 2 for a single tile, with the layout that LFM2-VL's processor asks for."""

    valid_kwargs = _Options
    encoder_patch_size = 16
    downsample_factor = 2
    do_image_splitting = False
    use_thumbnail = False
    tile_size = 512
    return_row_col_info = True

    def _preprocess(  # type: ignore[override]  # transformers passes all by keyword
        self, images: list[Any], **options: Any
    ) -> BatchFeature:
        patch = options.pop("encoder_patch_size")
        tensors = options.pop("return_tensors", None)
        height, width = images[0].shape[-2:]
        options |= {
            "do_resize": False,
            "patch_size": patch,
            "max_num_patches": (height // patch) * (width // patch),
        }
        seen = super()._preprocess(images, return_tensors=tensors, **options)
        seen["image_rows"] = seen["image_cols"] = [1] * len(images)
        seen["image_sizes"] = [list(image.shape[-2:]) for image in images]
        return seen
