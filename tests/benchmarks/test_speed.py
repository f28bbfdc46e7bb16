"""The benchmarks of time and of soft masks: their sums, and their bad calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import decode_time, overhead, rounding, soft_masks
from benchmarks.passes import vocabulary_of
from tests.reference.toy import train_tokenizer
from text4seg.core.types import Size


def test_ratios_are_over_the_faster_engine() -> None:
    total = {"generate, sd": 60.0, "generate, rrle": 12.0, "generate, rrle, grammar": 14.0,
             "engine, sd": 2.0, "engine, rrle": 3.0, "engine, rrle, 64x64": 6.0}  # fmt: skip
    assert list(decode_time.ratios(total).values()) == [30.0, 6.0, 7.0, 2.0]


def test_reliability_of_a_true_and_a_boastful_model() -> None:
    said = np.repeat([0.25, 0.75], 400)
    true = np.tile([1, 0, 0, 0], 100).tolist() + np.tile([1, 1, 1, 0], 100).tolist()
    fair = soft_masks.reliability(said, np.array(true))
    assert [(row["count"], row["said"], row["true"]) for row in fair] == [
        (400, 0.25, 0.25), (400, 0.75, 0.75)]  # fmt: skip
    assert soft_masks.error_of(fair) == pytest.approx(0.0)
    boastful = soft_masks.reliability(np.full(8, 1.0), np.tile([1, 0], 4))
    assert soft_masks.error_of(boastful) == pytest.approx(0.5)


def test_bicubic_keeps_the_frame_and_rounds_corners() -> None:
    cells = np.zeros((4, 4), dtype=np.float32)
    cells[1:3, 1:3] = 1.0
    soft = soft_masks.bicubic(cells, Size(40, 80))
    assert soft.shape == (40, 80)
    assert soft[20, 40]
    assert not soft[10, 20]
    assert soft_masks.iou(soft, np.kron(cells, np.ones((10, 20))) > 0) > 0.8


def test_the_overhead_is_measured_on_texts_that_are_written() -> None:
    texts = ["others *16\n others *4| dog *3| others *9\n others| others| dog| dog\n"] * 9
    vocabulary = vocabulary_of(train_tokenizer(texts, 300, words=True))
    large = overhead.enlarged(vocabulary, 2000)
    assert len(large) == 2000
    for words in (vocabulary, large):
        found = overhead.measure(words, "rrle", "row", 2)
        assert found["first_ms"] > 0
        assert found["later_ms"] > 0
        assert found["passes"] > 5


BAD = [
    pytest.param(decode_time.main, ["--photos", "no/such"], "folder of photos", id="no folder"),
    pytest.param(decode_time.main, ["--config", "no.json"], "configuration", id="no config"),
    pytest.param(overhead.main, ["--repeats", "0"], "at least 1", id="no repeats"),
    pytest.param(
        rounding.main, ["--data", "x", "--images", "y", "--limit", "0"], "at least 1", id="no mask"
    ),
    pytest.param(
        soft_masks.main, ["--data", "x", "--images", "y", "--limit", "0"], "at least 1", id="none"
    ),
]


@pytest.mark.parametrize(("main", "call", "words"), BAD)
def test_bad_calls_end_in_one_sentence(
    main: object, call: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert callable(main)
    assert main(call) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
