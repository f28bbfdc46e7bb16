from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.refine.conftest import IMAGE, cells
from text4seg.core.errors import UnknownNameError
from text4seg.core.types import Size
from text4seg.refine import REFINERS, RefinedMask, from_function, get_refiner

WITHOUT_WEIGHTS = ("none", "smooth", "crf")


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_refiner_makes_a_mask_of_the_images_size(name: str) -> None:
    refined = get_refiner(name).prepare(IMAGE)(cells(0.1, 0.9))
    assert (refined.mask.shape, refined.mask.dtype) == ((48, 64), np.bool_)
    assert refined.mask[24, 32]
    assert not refined.mask[0, 0]
    assert refined.notes == ()


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_nothing_stays_nothing(name: str) -> None:
    assert not get_refiner(name).prepare(IMAGE)(cells(0.1, 0.49)).mask.any()


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
@pytest.mark.parametrize("size", [Size(5, 5), Size(1, 1), Size(3, 900)])
def test_a_image_smaller_than_the_grid_keeps_what_was_found(name: str, size: Size) -> None:
    for row in range(8):
        probability = np.zeros((8, 8), dtype=np.float32)
        probability[row, 3] = 0.5
        refined = get_refiner(name).prepare(IMAGE.resize((size.width, size.height)))(probability)
        assert refined.mask.any()


def test_an_unknown_refiner_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="none, smooth, crf"):
        get_refiner("crf2")


def test_every_built_in_refiner_has_a_summary_of_its_own() -> None:
    summaries = [REFINERS.get_summary(name) for name in REFINERS]
    assert len(set(summaries)) == len(summaries)
    assert all(len(summary) > 20 for summary in summaries)


def test_a_registered_refiner_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    @from_function
    def everything(image: Image.Image, probability: np.ndarray, size: Size) -> RefinedMask:
        return RefinedMask(np.ones((size.height, size.width), dtype=bool))

    REFINERS.register("everything", everything)
    try:
        assert get_refiner("everything").prepare(IMAGE)(cells(0, 0)).mask.all()
    finally:
        monkeypatch.delitem(REFINERS._own, "everything")
        monkeypatch.delitem(REFINERS._loaded, "everything")


def test_the_example_of_the_documentation_runs() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "refine.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
