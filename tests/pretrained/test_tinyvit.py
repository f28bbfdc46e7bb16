"""TinyViT: shapes, and windows that equal a plain twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from text4seg.pretrained.mobilesam import load_mobilesam
from text4seg.pretrained.tinyvit import Block, ChannelNorm, TinyViT, WindowAttention


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


def test_channels_are_normalized_at_every_place() -> None:
    x = torch.randn(2, 6, 3, 4) * 5 + 2
    y = ChannelNorm(6)(x)
    assert torch.allclose(y.mean(1), torch.zeros(2, 3, 4), atol=1e-5)
    assert torch.allclose(y.var(1, unbiased=False), torch.ones(2, 3, 4), atol=1e-4)


@pytest.mark.nano
def test_features_equal_those_of_the_original_code(nano_parts: None) -> None:
    """The fixture holds what MobileSAM's own encoder (its repository's code) makes of `pattern`."""
    stage, neck = load_mobilesam().vision_encoder.network(torch.from_numpy(pattern(256))[None])
    with np.load(Path(__file__).parent / "tinyvit_reference.npz") as reference:
        assert np.allclose(stage[0, ::16].numpy(), reference["stage"], atol=1e-3)
        assert np.allclose(neck[0, ::4].numpy(), reference["neck"], atol=1e-4)


def pattern(side: int) -> np.ndarray:
    """A picture that anybody can draw again: no file, no resampling."""
    y, x = np.mgrid[:side, :side]
    rings = np.clip(2 * np.hypot(x - 100, y - 140), 0, 255)
    return np.stack([(x * y) % 256, 255 * ((x // 32 + y // 48) % 2), rings]).astype(np.float32)
