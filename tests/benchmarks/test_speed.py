"""The benchmarks of time and of soft masks: their sums, and their bad calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import choices, decode_time, head_passes, overhead, rounding, soft_masks, true_masks
from benchmarks.forced import ForcedStep
from benchmarks.passes import vocabulary_of
from tests.reference.toy import CacheOf, Noise, train_tokenizer
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.types import DescriptorGrid, GridShape, Size
from text4seg.decoding import DecodingTask, compile_mask_grammar, decode


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


def test_a_model_is_made_to_write_a_text() -> None:
    """Its passes are made, its opinions are not heeded."""
    wordy = vocabulary_of(
        train_tokenizer(["others *16\n others *4| dog *3\n"] * 9, 300, words=True)
    )
    shape = GridShape(6, 8)
    cells = np.zeros((6, 8), dtype=np.int32)
    cells[2:4, 3:7] = 1
    text = get_format("rrle").encode(DescriptorGrid.build(("others", "dog"), cells)).encode()
    real = CacheOf(Noise(wordy, 1))
    step = ForcedStep(real, wordy, text)
    grammar = compile_mask_grammar(get_format("rrle"), shape, ("dog",), wordy)
    decoded = decode(step, DecodingTask(step.first_logits, grammar))
    assert wordy.decode(decoded.tokens) == text
    assert real.passes == decoded.stats.passes > 0
    assert real.cache == list(decoded.tokens)[: len(real.cache)]


def test_the_interval_of_a_rate() -> None:
    """Against the textbook: 10 of 100 is 5.5 to 17.4 %; none of 20 is at most 16.1 %."""
    assert rounding.interval(10, 100) == pytest.approx((0.0552, 0.1744), abs=2e-4)
    assert rounding.interval(0, 20) == pytest.approx((0.0, 0.1611), abs=2e-4)


def test_rounding_is_counted_over_what_was_kept(tmp_path: Path) -> None:
    settings = {"dtype": "float32"}
    assert rounding.read_journal(tmp_path / "kept.jsonl", settings) == []
    rows = [
        {"image": "a", "expression": "x", "choices": 5, "differs": True, "cells": 2},
        {"image": "a", "expression": "y", "choices": 0, "differs": False, "cells": 0},
    ]
    for row in rows:
        rounding.keep(tmp_path / "kept.jsonl", row)
    assert rounding.read_journal(tmp_path / "kept.jsonl", settings) == rows
    found = rounding.summarize(rows)
    assert (found["masks"], found["written"], found["differing"]) == (2, 1, 1)
    assert (found["rate"], found["rate_of_written"]) == (0.5, 1.0)
    with pytest.raises(InputError, match="another run"):
        rounding.read_journal(tmp_path / "kept.jsonl", {"dtype": "float16"})


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_passes_of_a_head_that_sees_what_is_written() -> None:
    cells = np.zeros((16, 16), dtype=np.int32)
    cells[4:9, 5:12] = 1
    grid = DescriptorGrid.build(("others", "dog"), cells)
    row = {"expression": "dog", "absent": False, "odds": np.where(cells, 4.0, -4.0).tolist()}
    row |= {name: get_format(name).encode(grid) for name in head_passes.FORMATS}
    (passes,) = head_passes.count([row])
    assert passes["sd", "head"] == passes["rrle", "head"] == 1
    assert passes["sd", "row"] > 3


BAD = [
    pytest.param(decode_time.main, ["--images", "no/such"], "folder of images", id="no folder"),
    pytest.param(decode_time.main, ["--config", "no.json"], "configuration", id="no config"),
    pytest.param(overhead.main, ["--repeats", "0"], "at least 1", id="no repeats"),
    pytest.param(
        rounding.main, ["--data", "x", "--images", "y", "--limit", "0"], "at least 1", id="no mask"
    ),
    pytest.param(
        true_masks.main, ["--data", "x", "--images", "y", "--limit", "0"], "at least 1", id="no one"
    ),
    pytest.param(
        true_masks.main, ["--data", "no.jsonl", "--images", "y"], "no.jsonl", id="no questions"
    ),
    pytest.param(
        choices.main, ["--data", "no.jsonl", "--images", "y"], "no.jsonl", id="no questions at all"
    ),
    pytest.param(
        head_passes.main, ["--data", "no.jsonl", "--images", "y"], "no.jsonl", id="no question"
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
