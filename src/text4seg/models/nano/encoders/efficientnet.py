"""EfficientNet-Lite0 as a frozen feature extractor.

EfficientNet: Tan and Le 2019, arXiv:1905.11946; its "Lite" variant of 2020 has plain convolutions
without squeeze-and-excite, and ReLU6 throughout. Parameter names are those of the published PyTorch
checkpoint, so that its state dict loads as it is. Only what inference needs is here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# repeats, kernel, stride, expansion, channels in, channels out
_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_BATCH_NORM_EPS = 1e-3
# The last block at 1/16 of the input's side.
MIDDLE_BLOCK = 10
MIDDLE_CHANNELS = 112
FINAL_CHANNELS = 1280
PIXEL_MEAN = 127.0
PIXEL_STD = 128.0


class SamePadConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: an odd pixel goes to the right and bottom."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """`b c h w` → `b c' ⌈h/stride⌉ ⌈w/stride⌉`."""
        pads: list[int] = []
        # torch pads the last axis first.
        for axis in (1, 0):
            # As many outputs as strides fit into the input, rounded up.
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            out = -(-size // stride)
            missing = max((out - 1) * stride + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return self._conv_forward(functional.pad(input, pads), self.weight, self.bias)


def _conv(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> SamePadConv2d:
    """A convolution without bias: a batch norm follows each of them."""
    return SamePadConv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm with TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPS)


class InvertedBottleneck(nn.Module):
    """MobileNetV2's block (arXiv:1801.04381, table 1): expand, filter each channel, project.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the result.
        kernel: Side of the depthwise kernel.
        stride: Of the depthwise convolution.
        expansion: Hidden channels as a multiple of `channels_in`.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expands = expansion != 1
        # A shortcut needs equal shapes at both ends.
        self.residual = stride == 1 and channels_in == channels_out
        if self.expands:
            self._expand_conv = _conv(channels_in, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _conv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = _conv(wide, channels_out, 1)
        self._bn2 = _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """`b channels_in h w` → `b channels_out h/stride w/stride`."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """The network up to its last convolution, and the classifier behind it."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _conv(3, 32, 3, 2)
        self._bn0 = _norm(32)
        blocks: list[nn.Module] = []
        for repeats, kernel, stride, expansion, channels_in, channels_out in _STAGES:
            for index in range(repeats):
                # Only the first block of a stage changes channels and resolution.
                first = index == 0
                blocks.append(
                    InvertedBottleneck(
                        channels_in if first else channels_out,
                        channels_out,
                        kernel=kernel,
                        stride=stride if first else 1,
                        expansion=expansion,
                    )
                )
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _conv(320, FINAL_CHANNELS, 1)
        self._bn1 = _norm(FINAL_CHANNELS)
        self._fc = nn.Linear(FINAL_CHANNELS, 1000)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Features of an image.

        Args:
            pixels: RGB, 0 to 255, `b 3 h w`.

        Returns:
            Middle features `b 112 h/16 w/16` and final ones `b 1280 h/32 w/32`.
        """
        # The checkpoint was trained on pixels from -1 to 1.
        x = (pixels - PIXEL_MEAN) / PIXEL_STD
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        middle = x
        for index, block in enumerate(self._blocks):
            x = block(x)
            # The last block before the resolution falls to 1/32.
            if index == MIDDLE_BLOCK:
                middle = x
        return middle, functional.relu6(self._bn1(self._conv_head(x)))

    def classify(self, pixels: Tensor) -> Tensor:
        """ImageNet logits `b 1000`; only a test of the converted weights uses them."""
        final: Tensor = self.forward(pixels)[1]
        logits: Tensor = self._fc(torch.mean(final, dim=(2, 3)))
        return logits
