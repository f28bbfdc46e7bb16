"""MobileSAM (Zhang et al. 2023): TinyViT with transformers' SAM prompt encoder and mask decoder.

The checkpoint is the part `mobilesam`; its parameters are renamed here and otherwise unchanged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamModel, SamVisionConfig

from text4seg.core.errors import InputError, WeightsError
from text4seg.pretrained import weight_files
from text4seg.pretrained.tinyvit import TinyViT

SIDE = 1024
"""Long side of an image, in pixels, that MobileSAM was trained with."""

PATCH = 16
"""Pixels a feature; the side of an image is a multiple of twice this."""

_ENCODER = "image_encoder."
_UNUSED = ("image_encoder.norm_head.", "image_encoder.head.")
_RENAMED = (
    (_ENCODER, "vision_encoder.network."),
    ("mask_decoder.output_upscaling.0", "mask_decoder.upscale_conv1"),
    ("mask_decoder.output_upscaling.1", "mask_decoder.upscale_layer_norm"),
    ("mask_decoder.output_upscaling.3", "mask_decoder.upscale_conv2"),
    ("mask_downscaling.0", "mask_embed.conv1"),
    ("mask_downscaling.1", "mask_embed.layer_norm1"),
    ("mask_downscaling.3", "mask_embed.conv2"),
    ("mask_downscaling.4", "mask_embed.layer_norm2"),
    ("mask_downscaling.6", "mask_embed.conv3"),
    ("point_embeddings", "point_embed"),
    ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
)
_ATTENTION_RENAMED = ((".norm", ".layer_norm"),)
_HEADS = ("iou_prediction_head", "output_hypernetworks_mlps")
_HEADS_RENAMED = (
    (".layers.0.", ".proj_in."),
    (".layers.1.", ".layers.0."),
    (".layers.2.", ".proj_out."),
)
_SHARED = "prompt_encoder.shared_embedding.positional_embedding"


class _Encoder(nn.Module):
    """TinyViT in the place of SAM's image encoder: RGB 0–255 `b 3 s s` → `b 256 s/16 s/16`."""

    def __init__(self) -> None:
        super().__init__()
        self.network = TinyViT()

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return (self.network(pixels)[1],)


def mobilesam_name(name: str) -> str:
    """Rename a parameter.

    Args:
        name: As in MobileSAM's checkpoint.

    Returns:
        The name in the model of `load_mobilesam`.
    """
    pairs: tuple[tuple[str, str], ...] = _RENAMED
    if name.startswith("mask_decoder.transformer."):
        pairs += _ATTENTION_RENAMED
    if any(head in name for head in _HEADS):
        pairs += _HEADS_RENAMED
    for theirs, ours in pairs:
        name = name.replace(theirs, ours)
    return name


def load_mobilesam(path: Path | None = None, *, side: int = SIDE) -> Any:
    """Load MobileSAM as a `transformers.SamModel` in evaluation mode, without gradients.

    Its image encoder takes RGB values from 0 to 255, padded with `tinyvit.PIXEL_MEAN`.

    Args:
        path: The checkpoint; None fetches the part.
        side: The long side of images in pixels, a multiple of 32.

    Returns:
        The model.

    Raises:
        InputError: The side is not a multiple of 32.
        WeightsError: The part cannot be fetched, or holds other parameters.
    """
    if side < 2 * PATCH or side % (2 * PATCH):
        raise InputError(f"MobileSAM's side is a multiple of {2 * PATCH} pixels, got {side}")
    path = path or weight_files.fetch("mobilesam")
    state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    renamed = {
        mobilesam_name(name): value for name, value in state.items() if not name.startswith(_UNUSED)
    }
    renamed[_SHARED.replace("prompt_encoder.shared_embedding", "shared_image_embedding")] = renamed[
        _SHARED
    ]
    model = _empty(side)
    try:
        model.load_state_dict(renamed, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{path} is not MobileSAM: {error}") from error
    model.tie_weights()
    return model.eval().requires_grad_(False)


def _empty(side: int) -> Any:
    """The layers without parameters; positional encodings follow the side."""
    small = SamVisionConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, mlp_dim=32)
    prompts = {"image_size": side, "image_embedding_size": side // PATCH}
    config = SamConfig(vision_config=small, prompt_encoder_config=prompts)
    with torch.device("meta"):
        model: Any = SamModel(config)
    model.vision_encoder = _Encoder()
    return model
