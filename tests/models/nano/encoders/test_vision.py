"""The vision encoder describes each cell of the text grid where it lies in the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from text4seg.models.nano.config import CELLS, VISION_CHANNELS
from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.encoders.efficientnet import FINAL_CHANNELS, MIDDLE_CHANNELS
from text4seg.models.nano.encoders.parts import PretrainedParts
from text4seg.models.nano.encoders.vision import (
    CHANNELS,
    COLUMNS,
    DETECTOR_CHANNELS,
    ROWS,
    VisionEncoder,
)
from text4seg.pretrained.tinyvit import NECK_CHANNELS, STAGE_CHANNELS


def test_the_configuration_expects_what_the_eyes_give() -> None:
    assert (CHANNELS, CELLS) == (VISION_CHANNELS, 16)
    assert len(COCO_CLASSES) == DETECTOR_CHANNELS


@pytest.fixture(scope="module")
def vision_encoder(parts: PretrainedParts) -> VisionEncoder:
    return parts.vision_encoder()


@pytest.fixture(scope="module")
def seen(vision_encoder: VisionEncoder, cat: Image.Image) -> torch.Tensor:
    return vision_encoder.encode(cat)[: CELLS * CELLS, :CHANNELS]


@pytest.mark.nano
def test_a_image_becomes_256_cells(vision_encoder: VisionEncoder, cat: Image.Image) -> None:
    whole = vision_encoder.encode(cat)
    assert whole.shape == (ROWS, COLUMNS) == (288, 2060)
    assert whole.dtype == torch.float16
    assert whole.isfinite().all()
    shares = whole[:256, CHANNELS:].float().sum(1)
    assert torch.allclose(shares, torch.ones(256), atol=1e-2), "every pixel has a color"
    boxes = whole[256:, :6].float()
    assert COCO_CLASSES[int(boxes[0, 0])] == "cat", "the surest thing stands first"
    assert ((boxes[:, 2:] >= 0) & (boxes[:, 2:] <= 1)).all()
    assert (boxes[:-1, 1] >= boxes[1:, 1]).all()


@pytest.mark.nano
def test_cells_are_rows_of_columns(
    seen: torch.Tensor, vision_encoder: VisionEncoder, cat: Image.Image
) -> None:
    """In a mirror the columns turn around, and the rows do not."""
    turned = cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored = vision_encoder.encode(turned).float()[: CELLS * CELLS, :CHANNELS]
    groups = [FINAL_CHANNELS, MIDDLE_CHANNELS, STAGE_CHANNELS, NECK_CHANNELS]
    for group, other in zip(
        seen.float()[:, :-DETECTOR_CHANNELS].split(groups, 1),
        mirrored[:, :-DETECTOR_CHANNELS].split(groups, 1),
        strict=True,
    ):
        maps = (group - group.mean(0)).unflatten(0, (16, 16))
        expected = (other - other.mean(0)).unflatten(0, (16, 16))

        def alike(maps: torch.Tensor, expected: torch.Tensor = expected) -> float:
            return float(torch.cosine_similarity(maps, expected, dim=-1).mean())

        assert alike(maps.flip(1)) > alike(maps) + 0.1
        assert alike(maps.flip(1)) > alike(maps.flip(0)) + 0.1
        assert alike(maps.flip(1)) > 0.5


@pytest.mark.nano
def test_the_last_channels_are_the_detectors(seen: torch.Tensor) -> None:
    boxes = seen.float()[:, -DETECTOR_CHANNELS:]
    assert 0 <= float(boxes.min()) <= float(boxes.max()) <= 1
    strongest = int(boxes.max(dim=0).values.argmax())
    assert COCO_CLASSES[strongest] == "cat"


@pytest.mark.nano
def test_looking_twice_is_seeing_the_same_whatever_the_mode(
    seen: torch.Tensor, vision_encoder: VisionEncoder, cat: Image.Image
) -> None:
    opaque = cat.convert("RGBA")
    assert torch.equal(vision_encoder.encode(opaque)[: CELLS * CELLS, :CHANNELS], seen)
    assert np.asarray(opaque).shape[-1] == 4
