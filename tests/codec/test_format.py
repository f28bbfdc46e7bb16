"""What every format has in common, and the registry of formats."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codec.strategies import GRID_FORMATS
from text4seg.codec import DEFAULT_FORMAT, FORMATS, Format, Repair, Salvage, get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.geometry import mask_to_grid, masks_to_grid
from text4seg.core.regions import Regions, masks_to_regions
from text4seg.core.types import DescriptorGrid, GridShape, Size

EVERY_FORMAT = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
SHAPE = GridShape(4, 5)


def masks(*labels: str) -> list[tuple[str, np.ndarray]]:
    """Blobs side by side, of 20 by 30 pixels."""
    found = []
    for number, label in enumerate(labels):
        mask = np.zeros((20, 30), dtype=np.bool_)
        mask[5:15, 8 * number : 8 * number + 10] = True
        found.append((label, mask))
    return found


def test_formats_by_name() -> None:
    assert list(FORMATS)[:4] == ["sd", "rle", "rrle", "box"]
    assert all(form.name == name for name, form in FORMATS.items())
    assert get_format(DEFAULT_FORMAT) is FORMATS["rrle"]
    with pytest.raises(UnknownNameError, match="did you mean 'rrle'"):
        get_format("rrl")
    with pytest.raises(UnknownNameError, match="sd, rle, rrle, box"):
        get_format("png")


def test_each_format_has_a_summary_and_a_syntax() -> None:
    for name, form in FORMATS.items():
        assert FORMATS.get_summary(name)
        assert form.syntax.covers_image == (name != "box")
        assert form.syntax.has_counts == (name != "sd")


def test_a_repair_reads_like_a_sentence() -> None:
    assert str(Repair(0, "cut")) == "row 1: cut"
    assert str(Repair(None, "cut")) == "text: cut"


def test_a_text_is_readable_unless_it_says_otherwise() -> None:
    assert not Salvage("value", ()).unparsable


@pytest.mark.parametrize("form", GRID_FORMATS.values(), ids=GRID_FORMATS)
def test_one_mask_or_several_become_a_grid(form: Format) -> None:
    (dog,), several = masks("dog"), masks("dog", "cat")
    assert form.from_masks([dog], SHAPE) == mask_to_grid(dog[1], "dog", SHAPE)
    for rule in ("coverage", "center"):
        expected = masks_to_grid(dict(several), SHAPE, rule=rule)
        assert form.from_masks(several, SHAPE, rule) == expected
    assert form.from_masks([], SHAPE) == DescriptorGrid.empty(SHAPE)


@pytest.mark.parametrize("form", GRID_FORMATS.values(), ids=GRID_FORMATS)
def test_masks_of_one_label_are_one(form: Format) -> None:
    one, other = masks("dog", "dog")
    both = mask_to_grid(one[1] | other[1], "dog", SHAPE)
    assert (
        form.from_masks([one, other], SHAPE).select("dog").tolist() == both.select("dog").tolist()
    )


@pytest.mark.parametrize("form", GRID_FORMATS.values(), ids=GRID_FORMATS)
def test_a_grid_over_the_image_is_its_own_grid(form: Format) -> None:
    grid = form.from_masks(masks("dog"), SHAPE)
    assert form.to_grid(grid) is grid


def test_masks_become_boxes() -> None:
    form = FORMATS["box"]
    assert form.from_masks(masks("dog", "cat"), SHAPE) == masks_to_regions(
        masks("dog", "cat"), SHAPE
    )
    assert form.from_masks([], SHAPE) == Regions()
    with pytest.raises(InputError, match="center"):
        form.from_masks(masks("dog"), SHAPE, "center")


@EVERY_FORMAT
def test_what_masks_become_is_written_and_read(form: Format) -> None:
    for objects in (masks(), masks("dog"), masks("dog", "cat")):
        value = form.from_masks(objects, SHAPE)
        text = form.encode(value)
        assert form.decode(text, SHAPE, ["dog", "cat"]) == value
        salvage = form.salvage(text, SHAPE, ["dog", "cat"])
        assert (salvage.value, salvage.repairs, salvage.unparsable) == (value, (), False)
        grid = form.to_grid(value)
        assert grid.is_empty == value.is_empty == (not objects)
        assert set(grid.labels) == {"others", *(label for label, _ in objects)}
        size = Size(20, 30)
        if len(objects) == 1:
            inside = np.array(value.label_map(size) > 0)
            assert inside[7:13, 1:9].all()
            assert not inside[:, 15:].any()


TALK = ["", "I see no mask here.", '{"mask": null}', "\n\n\n", "Sorry!", "<seg></seg>", "???"]


@EVERY_FORMAT
@pytest.mark.parametrize("text", TALK)
def test_talk_cannot_be_read(form: Format, text: str) -> None:
    salvage = form.salvage(text, SHAPE, ["dog"])
    assert salvage.unparsable
    assert salvage.value.is_empty
    assert salvage.repairs


READABLE = {
    "sd": ["others| others| dog| dog| dog", "<seg>others| dog</seg>", "dog|dog|dog|dog|dog\n"],
    "rle": ["others *2| dog *3", "<seg>dog *1</seg>", "dog *20."],
    "rrle": ["others *2| dog *3", "Here: <seg>dog *1</seg>", "dog *5\ndog *5\n", "dog *99"],
    "box": ["[12-30, 34-61]\n dog *5\n", "[12-30, 34-61]", "(see [12, 30, 34, 61])", "others"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in READABLE.items() for text in texts]
)
def test_damaged_texts_can_be_read(name: str, text: str) -> None:
    salvage = FORMATS[name].salvage(text, SHAPE, ["dog"])
    assert not salvage.unparsable
    assert salvage.repairs
    assert name == "box" or not salvage.value.is_empty
