from __future__ import annotations

import numpy as np
import pytest

from tests.refine.conftest import blob
from text4seg.core.types import Size
from text4seg.metrics import iou
from text4seg.pretrained.frame import Frame
from text4seg.refine import none
from text4seg.refine._sam_prompts import PromptSettings, place_prompt

SIZES = [Size(480, 640), Size(360, 640), Size(640, 480), Size(500, 500)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stretched", [False, True])
def test_a_prompt_lies_where_the_cells_lie(size: Size, stretched: bool) -> None:
    frame = Frame.build(size, 1024, 256, stretched=stretched)
    prompt = place_prompt(blob(), frame, PromptSettings())
    assert prompt is not None
    scale = np.array([frame.inner.width, frame.inner.height])
    box = prompt.box.reshape(2, 2) / scale * 12
    assert np.allclose(box, [[3, 2], [9, 6]], atol=0.5), "in cells"
    points = prompt.points / scale * 12
    inside = ((points > [3, 2]) & (points < [9, 6])).all(axis=1)
    assert np.array_equal(inside, prompt.labels == 1)
    assert (prompt.labels == 0).any()
    mask = frame.to_image(prompt.mask) >= 0
    assert iou(mask, none(None, blob(), size).mask) > 0.9  # type: ignore[arg-type]
    again = place_prompt(blob(), frame, PromptSettings())
    assert again is not None
    assert np.array_equal(prompt.points, again.points)


def test_each_part_gets_a_point_and_specks_get_none() -> None:
    probability = blob(slice(1, 5), slice(1, 5)) + blob(slice(7, 11), slice(7, 11))
    frame = Frame.build(Size(480, 480), 1024, 256)
    prompt = place_prompt(probability, frame, PromptSettings(inside=1))
    assert prompt is not None
    assert (prompt.labels == 1).sum() == 2
    probability = blob(slice(1, 8), slice(1, 8))
    probability[10, 10] = 0.5
    prompt = place_prompt(probability, frame, PromptSettings(inside=1))
    assert prompt is not None
    assert (prompt.labels == 1).sum() == 1
