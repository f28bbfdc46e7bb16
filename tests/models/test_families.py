"""The table of families, as a registry."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from text4seg.core.errors import UnknownNameError
from text4seg.models.families import FAMILIES, get_family, square_side


def test_families_go_by_their_model_type() -> None:
    assert {"llava", "smolvlm", "qwen2_vl"} <= set(FAMILIES)
    assert all(family.model_type == name for name, family in FAMILIES.items())
    assert get_family("llava").name == "LLaVA-1.5"
    with pytest.raises(UnknownNameError, match=r"bert.*llava"):
        get_family("bert")


def test_every_row_is_complete() -> None:
    for family in FAMILIES.values():
        assert family.processor
        assert family.image_processor
        assert family.side
        assert family.rope_axes in (1, 3)


def test_the_side_of_the_square_comes_from_the_configuration() -> None:
    config = SimpleNamespace(vision_config=SimpleNamespace(image_size=336))
    assert square_side(get_family("llava"), config) == 336
