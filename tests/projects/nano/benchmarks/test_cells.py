"""Scores of cells, and the questions of an evaluation set by image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from projects.nano.benchmarks import cells
from projects.nano.benchmarks.cells import CellPrediction
from text4seg.core.run_lengths import mask_to_rle


def seen(image: str, *, there: bool, logit: float, expression: str = "the dog") -> CellPrediction:
    """Two true cells, if it is there; one of them, and no other, has the logit above zero."""
    truth = np.zeros((16, 16), dtype=bool)
    truth[0, :2] = True
    logits = np.full((16, 16), -5.0, dtype=np.float32)
    logits[0, 0] = logit
    return CellPrediction(image, expression, truth if there else None, logits, "presence")


def test_figures_of_found_missed_and_absent_things() -> None:
    asked = [seen("a", there=True, logit=3), seen("b", there=True, logit=-1)]
    asked += [seen("c", there=False, logit=0.5), seen("d", there=False, logit=-2)]
    found = cells.figures([(one.truth, one.cells(None)) for one in asked])
    expected = {"iou": 0.25, "large_iou": None, "miss_rate": 0.5, "n_acc": 0.5}
    assert found == expected
    gated = cells.figures([(one.truth, one.cells(1.0)) for one in asked])
    assert gated == expected | {"n_acc": 1.0}
    assert not seen("a", there=True, logit=3).cells(3.5).any()


def test_questions_are_gathered_by_image(tmp_path: Path) -> None:
    mask = np.zeros((32, 32), dtype=bool)
    mask[:2, :2] = True
    records = [{"image": n, "mask": m} for n, m in (("a", mask_to_rle(mask)), ("b", None))]
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in [*records, records[0]]))
    found = cells.by_image(file)
    assert {name: len(lines) for name, lines in found.items()} == {"a": 2, "b": 1}
    true = cells.true_cells(found["a"][0]["mask"])
    assert true is not None
    assert np.argwhere(true).tolist() == [[0, 0]]
    assert cells.true_cells(None) is None
