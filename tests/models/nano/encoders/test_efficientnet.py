"""EfficientNet-Lite0: shapes, TensorFlow's padding, and that the weights mean what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

from text4seg.models.nano.encoders.efficientnet import (
    EfficientNetLite0,
    InvertedBottleneck,
    SamePadConv2d,
)
from text4seg.models.nano.encoders.parts import PretrainedParts

CATS = range(281, 286)  # ImageNet's tabby, tiger cat, Persian, Siamese, Egyptian cat


@pytest.mark.parametrize(
    ("height", "width", "middle", "final"),
    [
        pytest.param(64, 96, (4, 6), (2, 3), id="whole cells"),
        pytest.param(33, 65, (3, 5), (2, 3), id="odd sides are rounded up"),
    ],
)
def test_features_come_at_a_sixteenth_and_a_thirty_second(
    height: int, width: int, middle: tuple[int, int], final: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0().eval()
    with torch.inference_mode():
        seen = network(torch.rand(2, 3, height, width) * 255)
    assert [tuple(part.shape) for part in seen] == [(2, 112, *middle), (2, 1280, *final)]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 8])
def test_the_odd_pixel_of_the_padding_goes_right_and_down(
    kernel: int, stride: int, side: int
) -> None:
    torch.manual_seed(0)
    layer = SamePadConv2d(1, 1, kernel, stride, bias=False)
    x = torch.randn(1, 1, side, side)
    out = -(-side // stride)
    missing = max((out - 1) * stride + kernel - side, 0)
    before, after = missing // 2, missing - missing // 2
    padded = torch.zeros(1, 1, side + missing, side + missing)
    padded[:, :, before : before + side, before : before + side] = x
    expected = functional.conv2d(padded, layer.weight, stride=stride)
    assert before <= after
    assert layer(x).shape == (1, 1, out, out)
    assert torch.allclose(layer(x), expected)


def test_only_blocks_that_keep_their_shape_add_their_input() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 4, 4)
    block = InvertedBottleneck(8, 8, kernel=3, stride=1, expansion=2).eval()
    torch.nn.init.zeros_(block._project_conv.weight)
    assert torch.equal(block(x), x)
    wider = InvertedBottleneck(8, 12, kernel=3, stride=1, expansion=2).eval()
    torch.nn.init.zeros_(wider._project_conv.weight)
    assert not wider(x).any()


@pytest.mark.nano
def test_the_published_weights_see_a_cat(parts: PretrainedParts, cat: Image.Image) -> None:
    network = EfficientNetLite0().eval()
    network.load_state_dict(load_file(parts.folder / "efficientnet.safetensors"))
    square = np.asarray(cat.resize((224, 224), Image.Resampling.BICUBIC), dtype=np.float32)
    with torch.inference_mode():
        logits = network.classify(torch.from_numpy(square).permute(2, 0, 1)[None])
    assert logits.shape == (1, 1000)
    assert int(logits.argmax()) in CATS
    assert float(logits.softmax(-1)[0, list(CATS)].sum()) > 0.5
