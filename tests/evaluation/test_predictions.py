from __future__ import annotations

import numpy as np
import pytest

from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.regions import masks_to_regions
from text4seg.core.run_lengths import mask_to_rle, rle_to_mask
from text4seg.core.types import GridShape, Size
from text4seg.evaluation import GroundTruth, TextReader
from text4seg.evaluation.predictions import PredictionMatcher, mask_file_names, match_predictions

SHAPE = GridShape(4, 4)
TRUTHS = [
    GroundTruth(0, "one/cat.jpg", "the cat", "val", None, size=Size(20, 40)),
    GroundTruth(1, "two/cat.jpg", "the cat", "val", None, size=Size(20, 40)),
    GroundTruth(2, "two/cat.jpg", "the dog", "val", None, size=Size(20, 40)),
]


def reader(name: str) -> TextReader:
    return TextReader(SHAPE, get_format(name))


def test_box_text_is_read() -> None:
    """By hand: columns 25 to 74 and rows 50 to 99 of 100 are pixels 10 to 29 and 10 to 19."""
    text = "[25-74, 50-99]\n" + " the dog *4\n" * 4
    found = reader("box").read(f"Here:\n<seg>{text}</seg>", "the dog", Size(20, 40))
    expected = np.zeros((20, 40), dtype=bool)
    expected[10:20, 10:30] = True
    assert found.mask is not None
    assert np.array_equal(rle_to_mask(found.mask), expected)
    assert (found.validity, found.format) == ("strict", "box")
    assert text == get_format("box").encode(masks_to_regions([("the dog", expected)], SHAPE))


@pytest.mark.parametrize(
    ("name", "text", "validity"),
    [
        ("rrle", "others *4\n others *4\n others *4\n others *4\n", "strict"),
        ("rrle", "others *4\n the dog *3\n", "salvaged"),
        ("rrle", "I see no dog.", "unparsable"),
        ("box", "others\n", "strict"),
        ("box", "[25-74, 50-120]\n the dog *4\n", "salvaged"),
        ("box", "I see no dog.", "unparsable"),
    ],
)
def test_how_text_could_be_read(name: str, text: str, validity: str) -> None:
    assert reader(name).read(text, "the dog", Size(20, 40)).validity == validity


def test_an_image_is_named_by_path_name_stem_or_id() -> None:
    matcher = PredictionMatcher(TRUTHS, {"7": "two/cat.jpg"})
    assert matcher.find("one/cat.jpg", None) == [0]
    assert matcher.find("7", "the dog") == [2]
    with pytest.raises(InputError, match=r"may be any of one/cat\.jpg, two/cat\.jpg"):
        matcher.find("cat", "the cat")
    with pytest.raises(InputError, match='2 questions: "expression" is missing'):
        matcher.find("two/cat.jpg", None)


def test_predictions_are_matched_and_costs_kept() -> None:
    line = {"image": "7", "expression": "the dog", "mask": mask_to_rle(np.ones((20, 40), bool))}
    matcher = PredictionMatcher(TRUTHS, {"7": "two/cat.jpg"})
    found = match_predictions([("line 1", line | {"tokens": 3, "score": 0.5})], matcher)
    assert {place: (one.tokens, one.score) for place, one in found.items()} == {2: (3, 0.5)}
    with pytest.raises(InputError, match="line 1: a mask is run lengths or polygons"):
        match_predictions([("line 1", line | {"mask": 4})], matcher)
    with pytest.raises(InputError, match="line 1: the validity"):
        match_predictions([("line 1", line | {"validity": "odd"})], matcher)


def test_mask_files_are_named_as_segment_writes_them() -> None:
    names = ["cat.the-cat.mask.png", "cat.the-cat.png", "cat.png"]
    assert mask_file_names(TRUTHS[0], alone=True) == names
    assert mask_file_names(TRUTHS[1]) == names[:2]
