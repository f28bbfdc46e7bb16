from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes import block as grid_block
from text4seg.codec import get_format
from text4seg.core.run_lengths import mask_to_rle
from text4seg.data import ReferringTarget, Sample
from text4seg.evaluation import GroundTruth, Prediction, Report, ScoreRecord, score_prediction
from text4seg.evaluation.records import grid_of

SIDE = 64
MakeRecord = Callable[..., ScoreRecord]


def rectangle(rows: slice, cols: slice) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[rows, cols] = True
    return mask


def block(left: int, width: int = 16) -> np.ndarray:
    """A square-ish thing, 16 rows high, from the column `left` on."""
    return rectangle(slice(16, 32), slice(left, left + width))


def make_record(
    truth: np.ndarray | None,
    answer: np.ndarray | None,
    *,
    index: int = 0,
    image: str = "a.jpg",
    expression: str = "the dog",
    name: str = "val",
    **answered: object,
) -> ScoreRecord:
    """A record as `score_prediction` makes it."""
    masks = [None if mask is None else mask_to_rle(mask) for mask in (truth, answer)]
    question = GroundTruth(index, image, expression, name, masks[0])
    grid = grid_of(answered["cells"]) if "cells" in answered else None
    return score_prediction(question, Prediction(masks[1], grid=grid, **answered))


def cells(rows: slice, cols: slice) -> np.ndarray:
    grid = np.zeros((16, 16), dtype=np.bool_)
    grid[rows, cols] = True
    return grid


def asked(expression: str, mask: np.ndarray | None) -> ReferringTarget:
    return ReferringTarget(expression, None if mask is None else mask_to_rle(mask), "val", "line 1")


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Five images with two questions each: a dog that is there and a cat that is not."""
    made = []
    for name in "abcde":
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (SIDE, SIDE)).save(path)
        made.append(Sample(path, (asked("the dog", block(0, 32)), asked("the cat", None))))
    return made


TEXT = get_format("sd").encode(grid_block("<b>the</b> dog", slice(4, 8), slice(0, 2)))


@pytest.fixture
def report() -> Report:
    written = {"cells": cells(slice(4, 8), slice(0, 2)), "format": "sd", "text": TEXT}
    records = [
        make_record(block(0), block(0), index=0),
        make_record(
            block(0), block(0, 6), index=1, expression="<b>the</b> dog", image="b.jpg", **written
        ),
        make_record(None, block(0), index=2, expression="the left cat", image="c.jpg"),
        make_record(block(0), block(40), index=3, image="d.jpg", name="other"),
    ]
    return Report(records, run={"model": "fake", "data": "val.jsonl"})
