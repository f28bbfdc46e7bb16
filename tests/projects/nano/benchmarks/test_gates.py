"""Thresholds chosen on one half of the images are judged on the other."""

from __future__ import annotations

import numpy as np
import pytest

from projects.nano.benchmarks import gates
from projects.nano.benchmarks.cells import CellPrediction


def seen(image: str, *, there: bool, logit: float, expression: str = "the dog") -> CellPrediction:
    """Two true cells, if it is there; one of them, and no other, has the logit above zero."""
    truth = np.zeros((16, 16), dtype=bool)
    truth[0, :2] = True
    logits = np.full((16, 16), -5.0, dtype=np.float32)
    logits[0, 0] = logit
    return CellPrediction(image, expression, truth if there else None, logits, "presence")


def test_the_lowest_gate_that_leaves_enough_empty() -> None:
    asked = [seen(str(i), there=False, logit=i / 2) for i in range(5)]
    asked += [seen(str(i), there=True, logit=i / 2) for i in range(5)]
    scores = gates.score(gates.tally(asked))
    chosen = gates.lowest(0.75)(scores)
    assert gates.GATES[chosen] == pytest.approx(1.6), "four of five are below"
    assert scores["n_acc"][chosen] == pytest.approx(0.8)
    assert scores["miss_rate"][chosen] == pytest.approx(0.8)
    assert scores["iou"][chosen] == pytest.approx(0.1)
    unreachable = gates.lowest(1.1)(scores)
    assert scores["n_acc"][unreachable] == 1.0


def test_gates_chosen_on_other_images_flatter_nobody() -> None:
    random = np.random.default_rng(1)
    asked = [
        seen(str(i // 4), there=bool(i % 2), logit=float(random.normal(1.0 + 2 * (i % 2))))
        for i in range(160)
    ]
    found = gates.check(gates.tally(asked), gates.largest_giou)
    assert found["loss"]["giou"] > 0, "the best gate of other images is not the best here"
    assert found["chosen on all"]["giou"] >= found["chosen on the other half"]["giou"]
    low, middle, high = found["gates"]
    assert low <= middle <= high
    result = {"shipped gate": 1.0, "shipped": found["chosen on all"], "rules": {"r": found}}
    lines = gates.table({"sets": {"coco": result}, "command": "c"}).splitlines()
    assert [line.count("|") for line in lines[:5]] == [9] * 5
