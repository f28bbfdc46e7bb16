"""A SAM's own geometry: where an image lies in its square, and back."""

from __future__ import annotations

import numpy as np
import pytest

from text4seg.core.types import Size
from text4seg.metrics import iou
from text4seg.pretrained.frame import Frame

IMAGES = [
    pytest.param(Size(480, 640), Size(768, 1024), id="4:3"),
    pytest.param(Size(1080, 1920), Size(576, 1024), id="16:9"),
    pytest.param(Size(640, 427), Size(1024, 683), id="portrait, rounded"),
    pytest.param(Size(500, 500), Size(1024, 1024), id="square"),
    pytest.param(Size(1, 3000), Size(1, 1024), id="a line"),
]


@pytest.mark.parametrize(("image", "inner"), IMAGES)
def test_the_long_side_fills_the_square_and_the_rest_is_padding(image: Size, inner: Size) -> None:
    frame = Frame.build(image, 1024, 256)
    assert frame.inner == inner
    assert frame.lattice.height == -(-inner.height // 4)
    assert frame.lattice.width == -(-inner.width // 4)


def test_sam_2_sees_images_stretched() -> None:
    frame = Frame.build(Size(480, 640), 1024, 256, stretched=True)
    assert (frame.inner, frame.lattice) == (Size(1024, 1024), Size(256, 256))


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize(("image", "inner"), IMAGES[:4])
def test_a_mask_comes_back_where_it_was_put(image: Size, inner: Size, stretched: bool) -> None:
    frame = Frame.build(image, 1024, 256, stretched=stretched)
    ys, xs = frame.lattice_centers()
    drawn = np.where((np.abs(ys - 0.6)[:, None] < 0.25) & (np.abs(xs - 0.3) < 0.2), 6.0, -6.0)
    found = frame.to_image(frame.pad(drawn, -6.0)) >= 0
    y, x = ((np.arange(n) + 0.5) / n for n in (image.height, image.width))
    truth = (np.abs(y - 0.6)[:, None] < 0.25) & (np.abs(x - 0.3) < 0.2)
    assert found.shape == truth.shape
    assert iou(found, truth) > 0.96


def test_stretching_the_prompt_over_the_padding_would_miss_the_place() -> None:
    """The test above can fail: the paper's code places a 4:3 image's prompt so."""
    frame = Frame.build(Size(480, 640), 1024, 256)
    drawn = np.full((256, 256), -6.0)
    drawn[int(0.5 * 256) : int(0.9 * 256), 20:120] = 6.0
    truth = np.zeros((480, 640), dtype=bool)
    truth[240:432, 50:300] = True
    assert iou(frame.to_image(drawn) >= 0, truth) < 0.6
