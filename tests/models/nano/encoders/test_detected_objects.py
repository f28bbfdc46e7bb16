"""Each thing once, the surest first."""

from __future__ import annotations

import numpy as np

from text4seg.models.nano.encoders.detected_objects import MOST, WIDTH, select_objects

LEFT, LEFT_AGAIN, RIGHT = (0.1, 0.2, 0.4, 0.6), (0.11, 0.2, 0.41, 0.62), (0.6, 0.2, 0.9, 0.6)


def rows(*found: tuple[float, float, tuple[float, ...]]) -> np.ndarray:
    made = [[kind, score, *box] for kind, score, box in found]
    return np.asarray(made, dtype=np.float32).reshape(-1, WIDTH)


def test_a_thing_that_two_looks_found_is_kept_once() -> None:
    kept = select_objects(rows((16, 0.5, LEFT_AGAIN), (16, 0.9, LEFT), (16, 0.6, RIGHT)))
    assert kept.shape == (MOST, WIDTH)
    assert np.allclose(kept[:2], rows((16, 0.9, LEFT), (16, 0.6, RIGHT)))
    assert not kept[2:].any()


def test_another_class_is_another_thing_and_noise_is_none() -> None:
    kept = select_objects(rows((16, 0.9, LEFT), (17, 0.5, LEFT_AGAIN), (3, 0.1, RIGHT)))
    assert kept[:, 1].tolist()[:3] == [np.float32(0.9), 0.5, 0.0]


def test_a_box_inside_another_of_its_class_is_a_part_of_it() -> None:
    inside = (0.15, 0.25, 0.3, 0.4)
    assert (select_objects(rows((0, 0.9, LEFT), (0, 0.8, inside)))[:, 1] > 0).sum() == 1


def test_nothing_and_too_much() -> None:
    assert not select_objects(rows()).any()
    many = rows(*((0, 0.5, (i / 50, 0, i / 50 + 0.019, 0.1)) for i in range(50)))
    assert (select_objects(many)[:, 1] > 0).sum() == MOST
    flat = rows((0, 0.9, (0.2, 0.2, 0.2, 0.2)), (0, 0.8, (0.2, 0.2, 0.2, 0.2)))
    assert np.isfinite(select_objects(flat)).all()
