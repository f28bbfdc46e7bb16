from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from text4seg.core.types import GridShape, Size
from text4seg.refine import get_refiner, sam_refiner, smooth
from text4seg.refine.auto import choose_refiner


def test_auto_looks_at_the_grid_and_at_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_refiner(GridShape(64, 64)) == "smooth"
    assert choose_refiner(GridShape(16, 16)) in ("sam", "sam@768")
    image = Image.new("RGB", (64, 64))
    fine = np.zeros((64, 64), dtype=np.float32)
    fine[10:30, 10:30] = 0.9
    assert np.array_equal(
        get_refiner("auto").prepare(image)(fine).mask,
        smooth(image, fine, Size(64, 64)).mask,
    )
    monkeypatch.setattr(sam_refiner, "find_spec", lambda name: None)
    assert choose_refiner(GridShape(16, 16)) == "smooth"
