"""The whole path with the embedded model, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from text4seg.codec import get_format
from text4seg.core.run_lengths import rle_to_mask
from text4seg.core.types import GridShape
from text4seg.data import read_jsonl
from text4seg.decoding import DecodingOptions
from text4seg.evaluation import GroundTruth, Prediction, score_prediction
from text4seg.images import open_image, open_mask
from text4seg.segmenter import Segmenter

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "photos"

pytestmark = [pytest.mark.nano, pytest.mark.usefixtures("nano_parts")]


@pytest.fixture(scope="module")
def segmenter(nano_parts: None) -> Segmenter:
    return Segmenter.from_pretrained("nano")


def text4seg(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "text4seg", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.fixture(scope="module")
def answer(
    nano_parts: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """One call of the command line: its folder and the object it printed."""
    folder = tmp_path_factory.mktemp("answer")
    done = text4seg("segment", IMAGES / "cat.jpg", "the cat", "-o", "out", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, json.loads(done.stdout)


def test_the_command_line_finds_the_cat(answer: tuple[Path, dict[str, Any]]) -> None:
    folder, record = answer
    mask = rle_to_mask(record["mask"])
    assert np.array_equal(mask, open_mask(folder / "out" / "cat.the-cat.mask.png"))
    assert open_image(folder / "out" / "cat.the-cat.overlay.png").size == (451, 300)
    assert record["validity"] == "strict"
    assert not record["empty"]
    assert 0.5 < record["score"] <= 1.0
    stats = record["stats"]
    assert stats["passes"] < stats["tokens"], "drafts and forced tokens save passes"
    assert stats["share"] == pytest.approx(mask.mean())


def test_python_gives_the_same_answer(
    answer: tuple[Path, dict[str, Any]], segmenter: Segmenter
) -> None:
    found = segmenter(IMAGES / "cat.jpg", "the cat")
    assert found.text == answer[1]["text"]
    grid = get_format(segmenter.format.name).decode(found.text, GridShape(16, 16), ("the cat",))
    assert found.grid == grid


def test_a_draft_changes_the_passes_and_not_the_text(segmenter: Segmenter) -> None:
    drafted = segmenter(IMAGES / "coffee.jpg", "the cup")
    plain = Segmenter(segmenter.model, options=DecodingOptions(draft="none"))(
        IMAGES / "coffee.jpg", "the cup"
    )
    assert plain.text == drafted.text
    assert plain.stats.passes > 5 * drafted.stats.passes


def test_asking_together_or_alone_makes_no_difference(segmenter: Segmenter) -> None:
    expressions = ["the cup", "the spoon", "the cat"]
    together = segmenter.segment_many(IMAGES / "coffee.jpg", expressions)
    alone = [segmenter(IMAGES / "coffee.jpg", expression) for expression in expressions]
    assert [answer.text for answer in together] == [answer.text for answer in alone]


def test_a_stream_ends_in_the_same_answer(segmenter: Segmenter) -> None:
    *states, last = segmenter.stream(IMAGES / "cat.jpg", "the cat")
    assert [state.rows for state in states] == list(range(1, 16))
    assert last.segmentation
    assert last.segmentation.text == segmenter(IMAGES / "cat.jpg", "the cat").text


def test_the_other_formats_are_written_validly(segmenter: Segmenter) -> None:
    for form in ("sd", "rle", "rrle"):
        found = Segmenter(segmenter.model, format=form)(IMAGES / "cat.jpg", "the cat")
        assert found.validity == "strict"
        assert get_format(form).encode(found.grid) == found.text


def test_nano_is_not_blind(segmenter: Segmenter) -> None:
    """Far below what it reaches: a guard against a broken model, not a measurement."""
    samples = read_jsonl(IMAGES / "examples.jsonl", IMAGES)
    outcomes = [
        score_prediction(
            GroundTruth.of(asked, 0, asked.source, None),
            Prediction.of(segmenter(sample.image, asked.expression)),
        )
        for sample in samples
        for asked in sample.targets
        if asked.expression in ("the cat", "the person", "the cup") and asked.mask is not None
    ]
    assert len(outcomes) == 3
    assert np.mean([outcome.cells.iou for outcome in outcomes if outcome.cells]) > 0.5


def test_the_demo_writes_its_pictures(nano_parts: None, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "out" / "demo.png") in done.stdout
    assert "cat.jpg: the cat" in done.stdout
    assert len(list((tmp_path / "out").glob("*.png"))) == 9
