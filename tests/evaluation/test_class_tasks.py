from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.test_semantic_scores import NAMES, model, sample  # noqa: F401 - a fixture
from text4seg.data import Sample
from text4seg.evaluation import ClassOptions, evaluate_classes
from text4seg.evaluation.journal import IMAGES, Journal
from text4seg.segmenter import Segmenter

OPTIONS = ClassOptions("semantic", NAMES)


def test_mean_iou_over_the_names_that_occur(sample: Sample) -> None:  # noqa: F811
    told: list[int] = []
    report = evaluate_classes(
        Segmenter(model()), [sample, sample], options=OPTIONS, on_image=lambda: told.append(1)
    )
    record = report.to_json()
    assert (record["images"], record["classes"], len(told)) == (2, 3, 2)
    assert set(record["ious"]) == {"the dog", "the sofa"}, "a cat is neither there nor seen"
    assert record["ious"] == pytest.approx({"the dog": 1.0, "the sofa": 0.75})
    assert record["miou"] == pytest.approx(0.875)
    assert record["none_of_them"] == pytest.approx(4 * 16 / (16 * 32 - 4 * 8))
    assert [table.title for table in report.tables()] == ["Figures", "IoU of each name"]


def test_a_run_with_a_journal_asks_nothing_twice(sample: Sample, tmp_path: Path) -> None:  # noqa: F811
    for opened in (3, 0):
        chat = model()
        journal = Journal.open(tmp_path, {}, kind=IMAGES)
        samples = [sample] * 3
        evaluate_classes(Segmenter(chat), samples, options=OPTIONS, journal=journal)
        assert len(chat.opened) == opened
