from __future__ import annotations

import jaxtyping
import numpy as np
import pytest

from tests.metrics.test_referring import ABSENT, ALL, HALF, INVENTED, MISSED, NONE, mask
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.metrics import Overlap, iou, overlap, rle_overlap


def test_overlap_counts_pixels() -> None:
    counted = overlap(*HALF)
    assert counted == Overlap(predicted=3, target=3, both=2)
    assert (counted.union, counted.iou) == (4, 0.5)


def test_masks_of_different_sizes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # it would speak first
    with pytest.raises(InputError, match="one size"):
        overlap(mask(1), mask(1, length=9))


@pytest.mark.parametrize(
    ("pair", "expected"),
    [(HALF, 0.5), (ALL, 1), (NONE, 0), (MISSED, 0), (ABSENT, 1), (INVENTED, 0)],
)
def test_iou(pair: tuple[np.ndarray, np.ndarray], expected: float) -> None:
    assert iou(*pair) == expected
    assert iou(*reversed(pair)) == expected


def test_run_lengths_count_like_pixels() -> None:
    assert rle_overlap(*map(mask_to_rle, HALF)) == overlap(*HALF)


def test_a_small_prediction_may_count_as_empty() -> None:
    assert Overlap(9, 20, 5).emptied(10) == Overlap(0, 20, 0)
    assert Overlap(10, 20, 5).emptied(10) == Overlap(10, 20, 5)
