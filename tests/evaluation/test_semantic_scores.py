from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.conftest import SIDE, asked, block, rectangle
from tests.fakes import FakeChat
from tests.fakes import block as grid_block
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.core.types import Size
from text4seg.data import Sample
from text4seg.data.mask_sources import RunLengthMask
from text4seg.evaluation.semantic_scores import label_map, sum_confusions, true_map
from text4seg.segmenter import Segmenter

NAMES = ("the dog", "the sofa", "the cat")


def model() -> FakeChat:
    return FakeChat(
        {
            "the dog": grid_block("the dog", slice(4, 8), slice(0, 4)),
            "the sofa": grid_block("the sofa", slice(4, 8), slice(2, 7)),
        },
        certainty=30.0,
    )


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A dog before a sofa; the left upper corner is void."""
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a.png")
    things = (asked("the sofa", block(0, 32)), asked("the dog", block(0, 16)))
    void = RunLengthMask.from_coco(mask_to_rle(rectangle(slice(0, 20), slice(0, 8))))
    return Sample(tmp_path / "a.png", things, void=void)


def test_the_smaller_thing_lies_in_front_and_void_is_left_out(sample: Sample) -> None:
    truth = true_map(sample, NAMES, Size(SIDE, SIDE))
    assert (truth[25, 3], truth[25, 20], truth[17, 3], truth[40, 40]) == (0, 1, 255, 255)


@pytest.mark.parametrize("chunk", [1, 2, 32])
def test_every_pixel_takes_its_likeliest_name(sample: Sample, chunk: int) -> None:
    chat = model()
    labels = label_map(Segmenter(chat), sample.open_image(), NAMES, chunk=chunk)
    assert (labels[20, 2], labels[20, 20], labels[40, 40]) == (0, 1, -1)
    assert labels[20, 10] in (0, 1), "both say so"
    assert set(np.unique(labels)) == {-1, 0, 1}
    assert len(chat.opened) == -(-len(NAMES) // chunk)


def test_a_confusion_of_other_names_is_refused() -> None:
    with pytest.raises(InputError, match="none of these names"):
        sum_confusions([{"cells": [[0, 5, 1]]}], NAMES)


def test_more_names_than_a_byte_counts(sample: Sample) -> None:
    names = [f"thing {number}" for number in range(300)] + ["the dog"]
    truth = true_map(sample, names, Size(SIDE, SIDE))
    assert set(np.unique(truth)) == {300, 301}, "void lies behind the names"
