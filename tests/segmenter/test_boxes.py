"""A model that writes boxes: a small thing gets the whole grid, steered or salvaged."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeChat
from text4seg.codec import BOX
from text4seg.core.regions import masks_to_regions
from text4seg.core.types import GridShape, Size
from text4seg.metrics import iou
from text4seg.segmenter import Segmenter
from text4seg.segmenter.boxes import FINE, BoxesOnImage

SHAPE = GridShape(4, 4)
IMAGE = Image.new("RGB", (200, 100))
MASK = np.zeros((100, 200), dtype=np.bool_)
MASK[20:28, 40:56] = True
MASK[20:24, 40:48] = False
TEXT = BOX.encode(masks_to_regions([("the ring", MASK)], SHAPE))


class BoxChat(FakeChat):
    """Writes the box of the ring, and nothing else."""

    default_format = "box"

    def text_for(self, question: str) -> bytes:
        return (TEXT if "the ring" in question else "others\n").encode()


def test_a_small_thing_has_the_whole_grid() -> None:
    for refiner, least in (("none", 0.95), ("smooth", 0.8)):
        segmenter = Segmenter(BoxChat(), grid="4x4", refiner=refiner)
        answer = segmenter(IMAGE, "the ring")
        assert (answer.text, answer.validity, answer.stats.grid) == (TEXT, "strict", "4x4")
        assert iou(answer.mask, MASK) >= least
        assert answer.grid.shape == FINE
        assert answer.probability.shape == answer.grid.cells.shape
        nothing = segmenter(IMAGE, "the cat")
        assert (nothing.text, nothing.empty, nothing.no_target) == ("others\n", True, 1.0)


def test_all_ways_of_asking() -> None:
    segmenter = Segmenter(BoxChat(), grid="4x4", draft="previous")
    ring = segmenter(IMAGE, "the ring")
    many = segmenter.segment_many(IMAGE, ["the ring", "the cat", "the ring"])
    assert [answer.text for answer in many] == [TEXT, "others\n", TEXT]
    (last,) = segmenter.stream(IMAGE, "the ring")
    assert last.segmentation is not None
    assert np.array_equal(last.segmentation.mask, ring.mask)


@pytest.mark.parametrize(
    ("written", "validity", "found"),
    [
        pytest.param(TEXT, "strict", True, id="as it should be"),
        pytest.param(TEXT.replace("*2", "*3", 1), "salvaged", True, id="a wrong count"),
        pytest.param("I see a ring.", "unparsable", False, id="prose"),
    ],
)
def test_what_a_server_wrote(written: str, validity: str, found: bool) -> None:
    answer = Segmenter(BoxChat(written=f"<seg>{written}</seg>"), grid="4x4")(IMAGE, "the ring")
    assert (answer.validity, answer.empty) == (validity, not found)


def test_grids_become_boxes_and_grids_again() -> None:
    form = BoxesOnImage()
    grid = form.decode(TEXT, SHAPE, ["the ring"])
    assert form.salvage(TEXT, SHAPE).grid == grid
    again = form.decode(form.encode(grid), FINE)
    assert iou(again.select("the ring"), grid.select("the ring")) > 0.99
    assert iou(BOX.decode(TEXT, SHAPE).mask("the ring", Size(100, 200)), MASK) > 0.95
