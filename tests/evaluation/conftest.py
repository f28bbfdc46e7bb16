from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text4seg.core.run_lengths import mask_to_rle
from text4seg.data import ReferringTarget, Sample
from text4seg.evaluation import Answer, Row, Truth, judge

SIDE = 64
MakeRow = Callable[..., Row]


def rectangle(rows: slice, cols: slice) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[rows, cols] = True
    return mask


def block(left: int, width: int = 16) -> np.ndarray:
    """A square-ish thing, 16 rows high, from the column `left` on."""
    return rectangle(slice(16, 32), slice(left, left + width))


def make_row(
    truth: np.ndarray | None,
    answer: np.ndarray | None,
    *,
    index: int = 0,
    image: str = "a.jpg",
    expression: str = "the dog",
    name: str = "val",
    **answered: object,
) -> Row:
    """A row as `judge` makes it."""
    masks = [None if mask is None else mask_to_rle(mask) for mask in (truth, answer)]
    question = Truth(index, image, expression, name, masks[0])
    return judge(question, Answer(masks[1], **answered))  # type: ignore[arg-type]


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
