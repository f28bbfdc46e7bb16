"""TinyViT: shapes, and windows that equal a plain twin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import SamConfig, SamModel, SamVisionConfig

from text4seg.core.geometry import cells_to_mask
from text4seg.core.rle import rle_to_mask
from text4seg.core.types import Size
from text4seg.metrics import iou
from text4seg.models.nano.parts import Parts
from text4seg.pretrained import weights
from text4seg.pretrained.tinyvit import Block, ChannelNorm, TinyViT, WindowAttention

EXAMPLES = Path(__file__).parents[3] / "examples" / "photos" / "examples.jsonl"


@pytest.mark.parametrize(("height", "width"), [(32, 96), (64, 64)])
def test_features_come_at_a_sixteenth(height: int, width: int) -> None:
    torch.manual_seed(0)
    network = TinyViT().eval()
    with torch.inference_mode():
        stage, neck = network(torch.rand(2, 3, height, width) * 255)
    assert stage.shape == (2, 320, height // 16, width // 16)
    assert neck.shape == (2, 256, height // 16, width // 16)


def plain_attention(layer: WindowAttention, x: Tensor, side: int) -> Tensor:
    """One window, head by head and pair by pair: `cells width` → the same."""
    cells, width = x.shape
    wide = width // layer.heads
    qkv = layer.qkv(layer.norm(x)).view(cells, layer.heads, 3 * wide)
    out = torch.zeros(cells, layer.heads, wide)
    for head in range(layer.heads):
        query, key, value = qkv[:, head].split(wide, dim=-1)
        for a in range(cells):
            scores = torch.empty(cells)
            for b in range(cells):
                down, along = abs(a // side - b // side), abs(a % side - b % side)
                bias = layer.attention_biases[head, down * side + along]
                scores[b] = query[a] @ key[b] / wide**0.5 + bias
            out[a, head] = scores.softmax(0) @ value
    return layer.proj(out.reshape(cells, width))


def test_attention_knows_how_far_apart_cells_are() -> None:
    torch.manual_seed(0)
    layer = WindowAttention(8, 2, 3)
    torch.nn.init.normal_(layer.attention_biases)
    x = torch.randn(2, 9, 8)
    expected = torch.stack([plain_attention(layer, one, 3) for one in x])
    assert torch.allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(6, 9, id="whole windows"),
        pytest.param(5, 7, id="padded both ways"),
        pytest.param(2, 3, id="smaller than a window"),
    ],
)
def test_a_block_equals_its_windows_one_by_one(height: int, width: int) -> None:
    torch.manual_seed(1)
    side = 3
    block = Block(8, 2, side).eval()
    torch.nn.init.normal_(block.attn.attention_biases)
    x = torch.randn(2, 8, height, width)
    attended = torch.zeros_like(x)
    for top in range(0, height, side):
        for left in range(0, width, side):
            window = torch.zeros(2, side, side, 8)
            piece = x[:, :, top : top + side, left : left + side].permute(0, 2, 3, 1)
            window[:, : piece.shape[1], : piece.shape[2]] = piece
            seen = block.attn(window.reshape(2, side * side, 8)).view(2, side, side, 8)
            kept = seen[:, : piece.shape[1], : piece.shape[2]].permute(0, 3, 1, 2)
            attended[:, :, top : top + side, left : left + side] = kept
    local = block.local_conv(x + attended)
    flat = local.flatten(2).transpose(1, 2)
    expected = (flat + block.mlp(flat)).transpose(1, 2).reshape(x.shape)
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_channels_are_normalised_at_every_place() -> None:
    x = torch.randn(2, 6, 3, 4) * 5 + 2
    y = ChannelNorm(6)(x)
    assert torch.allclose(y.mean(1), torch.zeros(2, 3, 4), atol=1e-5)
    assert torch.allclose(y.var(1, unbiased=False), torch.ones(2, 3, 4), atol=1e-4)


SAM_NAMES = (
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
    (".norm", ".layer_norm"),
    (".layers.0.", ".proj_in."),
    (".layers.1.", ".layers.0."),
    (".layers.2.", ".proj_out."),
)


def sam_name(name: str) -> str:
    """A parameter of MobileSAM's decoder as `transformers` calls it."""
    heads = "iou_prediction_head" in name or "hypernetworks" in name
    for theirs, ours in SAM_NAMES:
        if heads or not theirs.startswith(".layers"):
            name = name.replace(theirs, ours)
    return name


@pytest.mark.slow
@pytest.mark.nano
def test_mobilesams_own_decoder_outlines_the_cat_from_our_features(
    parts: Parts, cat: Image.Image
) -> None:
    """The decoder was trained on these features: it works only if they are what they should be."""
    state = torch.load(weights.locate("mobilesam"), weights_only=True)
    small = SamVisionConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, mlp_dim=32)
    model = SamModel(SamConfig(vision_config=small)).eval()
    renamed = {sam_name(k): v for k, v in state.items() if not k.startswith("image_encoder.")}
    shared = renamed["prompt_encoder.shared_embedding.positional_embedding"]
    renamed["shared_image_embedding.positional_embedding"] = shared
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    assert unexpected == []
    assert all(name.startswith("vision_encoder.") for name in missing)
    network = TinyViT().eval()
    network.load_state_dict(load_file(parts.folder / "tinyvit.safetensors"))
    square = np.asarray(cat.resize((1024, 1024), Image.Resampling.BICUBIC), dtype=np.float32)
    truth = rle_to_mask(json.loads(EXAMPLES.read_text().splitlines()[0])["mask"])
    rows, cols = np.nonzero(cells_to_mask(truth, Size(1024, 1024)))
    box = [float(edge) for edge in (cols.min(), rows.min(), cols.max(), rows.max())]
    with torch.inference_mode():
        _, neck = network(torch.from_numpy(square).permute(2, 0, 1)[None])
        out = model(
            image_embeddings=neck, input_boxes=torch.tensor([[box]]), multimask_output=False
        )
    mask = out.pred_masks[0, 0, 0].numpy() > 0
    assert mask.shape == (256, 256)
    found = iou(mask, cells_to_mask(truth, Size(256, 256)))
    assert found > 0.85, found
