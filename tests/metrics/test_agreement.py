"""The figures agree with plain twins, with pycocotools and with torchmetrics."""

from __future__ import annotations

import math

import jaxtyping
import numpy as np
import pytest
from pycocotools import mask as coco

from tests.reference import plain_scores as plain
from text4seg.core.run_lengths import mask_to_rle, rle_to_runs
from text4seg.core.types import Box
from text4seg.metrics import (
    PRECISION_THRESHOLDS,
    boundary_f,
    box_acc,
    box_iou,
    ciou,
    class_ious,
    confusion_matrix,
    giou,
    mean_class_iou,
    mean_iou,
    n_acc,
    overlap,
    precision_at,
    rle_overlap,
    t_acc,
)

PAIRS = 10_000
CLOSE = 1e-6


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking shapes at each call would take most of the time; other tests have it."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def random_mask(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Nothing, everything, noise or a rectangle."""
    kind = random.integers(0, 8)
    if kind == 0:
        return np.zeros((height, width), dtype=np.bool_)
    if kind == 1:
        return np.ones((height, width), dtype=np.bool_)
    if kind < 5:
        return random.random((height, width)) < random.random()
    mask = np.zeros((height, width), dtype=np.bool_)
    top, left = random.integers(0, height), random.integers(0, width)
    mask[top : random.integers(top, height) + 1, left : random.integers(left, width) + 1] = True
    return mask


def pixels(mask: np.ndarray) -> plain.Mask:
    return frozenset(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True))


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(7)
    made = []
    for _ in range(PAIRS):
        height, width = random.integers(1, 13, size=2).tolist()
        made.append((random_mask(random, height, width), random_mask(random, height, width)))
    return made


def test_all_kinds_of_pairs_are_among_them(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    kinds = {(bool(predicted.any()), bool(target.any())) for predicted, target in pairs}
    assert len(kinds) == 4


def test_referring_figures_agree_with_plain_ones(
    pairs: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    counted = [overlap(*pair) for pair in pairs]
    sets = [(pixels(predicted), pixels(target)) for predicted, target in pairs]
    assert [one.iou for one in counted] == pytest.approx(plain.ious(sets), abs=CLOSE)
    assert mean_iou(counted) == pytest.approx(plain.mean(plain.ious(sets)), abs=CLOSE)
    for threshold in PRECISION_THRESHOLDS:
        share = plain.mean([float(value >= threshold) for value in plain.ious(sets)])
        assert precision_at(counted, threshold) == pytest.approx(share, abs=CLOSE)
    for below in (1, 50):
        cut = plain.emptied(sets, below)
        for ours, theirs in (
            (ciou, plain.ciou),
            (giou, plain.giou),
            (n_acc, plain.n_acc),
            (t_acc, plain.t_acc),
        ):
            assert ours(counted, empty_below=below) == pytest.approx(theirs(cut), abs=CLOSE)


def test_run_lengths_count_as_pixels_and_pycocotools_do(
    pairs: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    for predicted, target in pairs:
        ours, theirs = mask_to_rle(predicted), mask_to_rle(target)
        counted = rle_overlap(ours, theirs)
        assert counted == overlap(predicted, target)
        if counted.union:  # of two empty masks, pycocotools says 0
            assert counted.iou == pytest.approx(coco.iou([ours], [theirs], [0])[0, 0], abs=CLOSE)


def test_boxes_agree_with_plain_ones_and_pycocotools(
    pairs: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    boxes, values = [], []
    for predicted, target in pairs[: PAIRS // 4]:
        found = tuple(rle_to_runs(mask_to_rle(mask)).box for mask in (predicted, target))
        for box, mask in zip(found, (predicted, target), strict=True):
            edges = plain.box(pixels(mask))
            assert (box is None) == (edges is None)
            assert box is None or (box.x0, box.y0, box.x1, box.y1) == edges
        boxes.append(found)
        if found[0] and found[1]:
            sides = [[[b.x0, b.y0, b.width, b.height]] for b in found if b]
            values.append(float(coco.iou(*sides, [0])[0, 0]))
            assert box_iou(*found) == pytest.approx(values[-1], abs=CLOSE)
        else:
            values.append(float(found[0] is found[1]))
    share = sum(value >= 0.5 for value in values) / len(values)
    assert box_acc(boxes) == pytest.approx(share, abs=CLOSE)


def test_a_box_touches_the_frame_where_a_run_turns() -> None:
    mask = np.zeros((4, 5), dtype=np.bool_)
    mask[2:, 1] = mask[:3, 2] = True
    assert rle_to_runs(mask_to_rle(mask)).box == Box(1, 0, 3, 4)


def test_class_ious_agree_with_plain_ones() -> None:
    random = np.random.default_rng(3)
    for classes in (1, 2, 5, 20):
        truths = random.integers(0, classes, size=(6, 9, 11))
        answers = random.integers(0, classes + 2, size=truths.shape)  # some say none of them
        truths[random.random(truths.shape) < 0.2] = 255
        truths[truths == classes // 2] = 0  # a class that is never true
        matrix = sum(
            confusion_matrix(answer, truth, classes)
            for answer, truth in zip(answers, truths, strict=True)
        )
        flat = [[one.ravel().tolist() for one in many] for many in (truths, answers)]
        expected = plain.class_ious(*flat, classes)
        assert class_ious(matrix) == pytest.approx(expected, abs=CLOSE, nan_ok=True)
        known = [value for value in expected if not math.isnan(value)]
        assert mean_class_iou(matrix) == pytest.approx(plain.mean(known), abs=CLOSE)


def test_outlines_agree_with_plain_ones() -> None:
    random = np.random.default_rng(5)
    for _ in range(150):
        height, width = random.integers(1, 15, size=2).tolist()
        predicted, target = (random_mask(random, height, width) for _ in range(2))
        for tolerance in (0.008, 0.15, 0.4):
            radius = math.ceil(tolerance * math.hypot(height, width))
            expected = plain.boundary_f(predicted.tolist(), target.tolist(), radius)
            found = boundary_f(predicted, target, tolerance=tolerance)
            assert found == pytest.approx(expected, abs=CLOSE)


def test_figures_agree_with_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    random = np.random.default_rng(11)
    for _ in range(200):
        height, width = random.integers(1, 13, size=2).tolist()
        predicted, target = (random_mask(random, height, width) for _ in range(2))
        if predicted.any() or target.any():  # of two empty masks, torchmetrics says 0
            value = functional.binary_jaccard_index(
                torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(target)
            )
            assert overlap(predicted, target).iou == pytest.approx(float(value), abs=CLOSE)
    truth, answer = random.integers(0, 7, size=(2, 40, 50))
    truth[:3] = 255
    expected = functional.multiclass_jaccard_index(
        *map(torch.from_numpy, (answer, truth)), num_classes=7, ignore_index=255, average="none"
    )
    found = class_ious(confusion_matrix(answer, truth, 7))
    assert found == pytest.approx(expected.numpy(), abs=CLOSE)
