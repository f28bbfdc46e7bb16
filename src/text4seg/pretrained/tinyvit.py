"""TinyViT, the image encoder of MobileSAM (Wu et al. 2022; Zhang et al. 2023); inference only.

Implemented here because the usual implementations need torchvision. Parameter names follow
MobileSAM's checkpoint. Heights and widths are multiples of 32; features have 1/16 of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)
STAGE_CHANNELS = 320
NECK_CHANNELS = 256
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


class ConvNorm(nn.Module):
    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.c(x))
        return y


class PatchEmbed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, 3, 2), nn.GELU(), ConvNorm(width // 2, width, 3, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.seq(x)
        return y


class MobileConv(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, width * 4)
        self.conv2 = ConvNorm(width * 4, width * 4, 3, groups=width * 4)
        self.conv3 = ConvNorm(width * 4, width)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.gelu(self.conv2(functional.gelu(self.conv1(x))))
        return functional.gelu(x + self.conv3(y))


class PatchMerging(nn.Module):
    """Halves the resolution, except before the last stage: SAM's decoder expects 1/16."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels_in, channels_out)
        self.conv2 = ConvNorm(channels_out, channels_out, 3, stride, groups=channels_out)
        self.conv3 = ConvNorm(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(x)))))
        return y


class WindowAttention(nn.Module):
    """Attention inside one window, with a bias per head for every |Δrow|, |Δcolumn|."""

    offsets: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, width * 3)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        steps = torch.arange(window)
        distance = (steps[:, None] - steps[None, :]).abs()
        index = distance[:, None, :, None] * window + distance[None, :, None, :]
        self.register_buffer("offsets", index.reshape(window**2, window**2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, cells, width = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, cells, self.heads, -1)
        query, key, value = (part.transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        bias = self.attention_biases[:, self.offsets]
        y = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias[None].to(query.dtype)
        )
        out: Tensor = self.proj(y.transpose(1, 2).reshape(batch, cells, width))
        return out


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width * 4)
        self.fc2 = nn.Linear(width * 4, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(functional.gelu(self.fc1(self.norm(x))))
        return y


class Block(nn.Module):
    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """`b c h w` → the same shape; the map is padded with zeros to whole windows."""
        batch, width, height, wide = x.shape
        side = self.window
        cells = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 0, -wide % side, 0, -height % side))
        rows, columns = cells.shape[1] // side, cells.shape[2] // side
        cells = cells.view(batch, rows, side, columns, side, width).transpose(2, 3)
        y = self.attn(cells.reshape(-1, side * side, width))
        y = y.view(batch, rows, columns, side, side, width).transpose(2, 3)
        y = y.reshape(batch, rows * side, columns * side, width)[:, :height, :wide]
        x = self.local_conv(x + y.permute(0, 3, 1, 2))
        flat = x.flatten(2).transpose(1, 2)
        flat = flat + self.mlp(flat)
        return flat.transpose(1, 2).reshape(batch, width, height, wide)


class Stage(nn.Module):
    def __init__(self, index: int) -> None:
        super().__init__()
        width = _WIDTHS[index]
        self.blocks = nn.ModuleList(
            MobileConv(width) if index == 0 else Block(width, _HEADS[index], _WINDOWS[index])
            for _ in range(_DEPTHS[index])
        )
        last = index == len(_WIDTHS) - 1
        self.downsample = (
            None if last else PatchMerging(width, _WIDTHS[index + 1], 1 if index == 2 else 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of `b c h w`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.layer_norm(
            x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6
        )
        return y.permute(0, 3, 1, 2)


class TinyViT(nn.Module):
    """`forward(pixels)`: RGB 0–255 `b 3 h w` → stage `b 320 h/16 w/16`, neck `b 256 h/16 w/16`."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(_WIDTHS[0])
        self.layers = nn.ModuleList(Stage(index) for index in range(len(_WIDTHS)))
        self.neck = nn.Sequential(
            nn.Conv2d(STAGE_CHANNELS, NECK_CHANNELS, 1, bias=False),
            ChannelNorm(NECK_CHANNELS),
            nn.Conv2d(NECK_CHANNELS, NECK_CHANNELS, 3, padding=1, bias=False),
            ChannelNorm(NECK_CHANNELS),
        )
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        x = self.patch_embed((pixels - self.mean) / self.std)
        for stage in self.layers:
            x = stage(x)
        return x, self.neck(x)
