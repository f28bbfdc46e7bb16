from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import text4seg
from text4seg.codec import FORMATS
from text4seg.core.coverage import RULES
from text4seg.core.errors import InputError, LabelError, MaskSyntaxError, UnknownNameError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.types import DescriptorGrid, GridShape, Size
from text4seg.data import PolygonMask, RunLengthMask
from text4seg.data.targets import TargetEncoder, decode_mask, encode_mask

MASK = np.zeros((64, 96), dtype=bool)
MASK[16:32, 24:72] = True
PAIRS = [
    (form, rule)
    for form in FORMATS
    for rule in RULES
    if not (TargetEncoder(form).has_boxes and rule == "center")
]


@given(seed=st.integers(0, 2**32), pair=st.sampled_from(PAIRS), side=st.integers(1, 9))
def test_a_mask_source_is_written_as_its_pixels_are(seed, pair, side) -> None:
    form, rule = pair
    random = np.random.default_rng(seed)
    masks = [random.random((31, 23)) < share for share in (0.1, 0.5, 0.9)]
    encoder = TargetEncoder(form, GridShape(side, 4), rule)
    written = encoder.encode_each([("a b", RunLengthMask.from_mask(mask)) for mask in masks])
    assert written == [encoder.encode([("a b", mask)], Size(31, 23)) for mask in masks]


@pytest.mark.parametrize(("form", "rule"), PAIRS)
def test_text_there_and_back(form: str, rule: str) -> None:
    text = encode_mask(MASK, "a dog", grid="4x4", format=form, rule=rule)
    value = decode_mask(text, grid="4x4", format=form, labels=["a dog"])
    assert value.labels == ("others", "a dog")
    assert decode_mask(f"Here: <seg>{text}</seg>", grid=GridShape(4, 4), format=form) == value
    if isinstance(value, DescriptorGrid):
        assert value == mask_to_grid(MASK, "a dog", GridShape(4, 4))
    with pytest.raises(MaskSyntaxError):
        decode_mask(f"{text}|", grid="4x4", format=form)


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_a_text_too(form: str) -> None:
    encoder = TargetEncoder(form, GridShape(4, 4))
    assert decode_mask(encoder.encode([]), grid="4x4", format=form).is_empty
    assert decode_mask(encoder.encode([("x", MASK & False)]), grid="4x4", format=form).is_empty
    assert encoder.encode_each([]) == []


def test_masks_of_one_label_are_joined_and_small_ones_lie_on_top() -> None:
    left, right = MASK.copy(), MASK.copy()
    left[:, 48:], right[:, :48] = False, False
    encoder = TargetEncoder(grid=GridShape(4, 4))
    assert encoder.encode([("x", left), ("x", right)]) == encoder.encode([("x", MASK)])
    over = decode_mask(encoder.encode([("part", left), ("whole", MASK)]), grid="4x4")
    assert (over.select("part").sum(), over.select("whole").sum()) == (1, 1)


def test_polygons_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: PolygonMask) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr(PolygonMask, "to_mask", refuse)
    square = PolygonMask(Size(64, 96), ((24.0, 16.0, 72.0, 16.0, 72.0, 32.0, 24.0, 32.0),))
    for rule in RULES:
        (text,) = TargetEncoder("sd", GridShape(4, 4), rule).encode_each([("dog", square)])
        assert text.count("dog") == 2


def test_wrong_calls() -> None:
    for wrong in ({"format": "png"}, {"rule": "half"}):
        with pytest.raises(UnknownNameError):
            encode_mask(MASK, "dog", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="boxes are not for the rule center"):
        encode_mask(MASK, "dog", format="box", rule="center")
    with pytest.raises(LabelError):
        encode_mask(MASK, "a|b")
    with pytest.raises(InputError, match="height and width"):
        encode_mask(MASK[0], "dog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="64x96 and the image 3x3"):
        TargetEncoder().encode([("dog", MASK)], Size(3, 3))


def test_they_are_public() -> None:
    assert text4seg.encode_mask is encode_mask
    assert text4seg.decode_mask is decode_mask
