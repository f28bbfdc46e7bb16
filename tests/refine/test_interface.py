from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.refine.interface import RefinedMask, RefinerSpec, from_function

SPECS = [
    pytest.param("smooth", ("smooth", None, None), id="a name"),
    pytest.param("sam@768", ("sam", "768", None), id="a side"),
    pytest.param("sam2:a/b:c", ("sam2", None, "a/b:c"), id="a model with a colon"),
    pytest.param("sam@768:x", ("sam", "768", "x"), id="both"),
    pytest.param("sam@:", ("sam", "", ""), id="empty parts"),
    pytest.param("", ("", None, None), id="nothing"),
    pytest.param("a\n:b", ("a\n", None, "b"), id="a line break"),
    pytest.param("a:b\nc", ("a:b\nc", None, None), id="no spec at all"),
]


@pytest.mark.parametrize(("text", "parts"), SPECS)
def test_a_spec_is_split(text: str, parts: tuple[str, str | None, str | None]) -> None:
    spec = RefinerSpec.parse(text)
    assert (spec.name, spec.side, spec.model) == parts
    assert spec.text == text


@from_function
def everything(image: Image.Image, probability: np.ndarray, size: Size) -> RefinedMask:
    """Take the whole image."""
    return RefinedMask(np.full((size.height, size.width), probability.max() >= 0.5))


def test_a_function_becomes_a_refiner_with_its_docstring() -> None:
    assert everything.__doc__ == "Take the whole image."
    refine = everything(RefinerSpec.parse("everything")).prepare(Image.new("RGB", (4, 3)))
    mask = refine(np.ones((2, 2), dtype=np.float32)).mask
    assert mask.shape == (3, 4)
    assert mask.all()


@pytest.mark.parametrize("text", ["everything@768", "everything:x"])
def test_a_function_takes_nothing_after_its_name(text: str) -> None:
    with pytest.raises(InputError, match="takes nothing after its name"):
        everything(RefinerSpec.parse(text))
