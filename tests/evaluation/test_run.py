from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.evaluation.conftest import asked, block, rectangle
from tests.fakes import FakeChat
from tests.fakes import block as grid_block
from text4seg import models
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import mask_to_rle
from text4seg.data import Sample
from text4seg.evaluation import EvaluationOptions, ScoreRecord, evaluate
from text4seg.evaluation.journal import RECORDS, Journal, Share, read_journal
from text4seg.segmenter import Segmenter

ROOT = Path(__file__).parents[2]
DOG = grid_block("the dog", slice(4, 8), slice(0, 8))
SETTINGS = {"model": "fake", "grid": "16x16"}


def model() -> FakeChat:
    return FakeChat({"the dog": DOG}, certainty=30.0)


def timeless(records: Sequence[ScoreRecord]) -> list[dict]:
    """All that is the same each time; how far is drafted ahead depends on measured time."""
    lines = [record.to_json() for record in records]
    for line in lines:
        for key in ("seconds", "passes"):
            del line["prediction"][key]
    return lines


def test_answers_are_scored_on_the_grid_and_in_pixels(samples: list[Sample]) -> None:
    chat = model()
    image = samples[0].image
    questions = (
        # the answer is rows 16…32 and columns 0…32 of pixels; half of it is right
        asked("the dog", block(0, 16)),
        asked("the cat", rectangle(slice(0, 1), slice(0, 1))),
        asked("the cow", None),
        asked("the dog", None),
    )
    told: list[str] = []
    report = evaluate(
        Segmenter(chat),
        [Sample(image, questions)],
        on_record=lambda row: told.append(row.truth.expression),
    )
    assert chat.opened == [(64, 64)], "an image is opened once"
    assert told == ["the dog", "the cat", "the cow", "the dog"]
    rows = report.records
    assert [row.cells.iou for row in rows if row.cells and row.present] == [0.5, 0.0]
    assert [row.pixels.iou for row in rows] == [0.5, 0.0, 1.0, 0.0]
    assert [row.cells.target for row in rows if row.cells] == [16, 1, 0, 0], (
        "one pixel still has a cell"
    )
    assert rows[0].prediction.text == Segmenter(model())(image, "the dog").text
    figures = report.summaries["val"]
    assert (figures.miss_rate, figures.n_acc, figures.strict) == (0.5, 0.5, 1.0)


def test_a_image_that_breaks_in_the_middle_is_named(samples: list[Sample]) -> None:
    image = samples[0].image
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(InputError, match=r"a\.png"):
        evaluate(Segmenter(model()), samples)


def test_a_mask_of_another_size_is_named(samples: list[Sample]) -> None:
    wrong = Sample(samples[0].image, (asked("the dog", block(0)[:40]),))
    with pytest.raises(InputError, match="line 1: the mask is 40x64 and the image 64x64"):
        evaluate(Segmenter(model()), [wrong])


def test_processes_share_the_images_and_are_put_together_exactly(
    samples: list[Sample], tmp_path: Path
) -> None:
    alone = evaluate(Segmenter(model()), samples).records
    for process in range(3):
        journal = Journal.open(tmp_path / "run", SETTINGS, kind=RECORDS, share=Share(process, 3))
        evaluate(Segmenter(model()), samples, journal=journal)
    settings, done = read_journal(tmp_path / "run", RECORDS)
    assert settings == SETTINGS
    assert timeless(done.values()) == timeless(alone)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        f"records.{process}.jsonl" for process in range(3)
    ]


def test_a_run_goes_on_where_it_stopped(samples: list[Sample], tmp_path: Path) -> None:
    """After two samples, a third is half written by a process that was killed."""
    folder = tmp_path / "run"
    journal = Journal.open(folder, SETTINGS, kind=RECORDS)
    evaluate(Segmenter(model()), samples[:2], journal=journal)
    half = (folder / "records.0.jsonl").read_text().splitlines()[-1][:50]
    with (folder / "records.0.jsonl").open("a") as file:
        file.write(half)
    chat = model()
    told: list[int] = []
    rows = evaluate(
        Segmenter(chat),
        samples,
        journal=Journal.open(folder, SETTINGS, kind=RECORDS),
        on_record=lambda row: told.append(row.truth.index),
    ).records
    assert len(chat.opened) == 3, "two samples are there already"
    assert told == list(range(10))
    assert list(read_journal(folder, RECORDS)[1].values()) == rows
    assert timeless(rows) == timeless(evaluate(Segmenter(model()), samples).records)
    again = model()
    more = Journal.open(
        folder, SETTINGS, kind=RECORDS, share=Share(1, 2)
    )  # with other processes than before
    evaluate(Segmenter(again), samples, journal=more)
    assert again.opened == []


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.fakes import FakeChat, block
from text4seg.data import read_dataset
from text4seg.evaluation import evaluate
from text4seg.evaluation.journal import RECORDS, Journal
from text4seg.segmenter import Segmenter

class Mortal(FakeChat):
    def encode_image(self, image):
        if len(self.opened) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_image(image)

chat = Mortal({{"the dog": block("the dog", slice(4, 8), slice(0, 8))}}, certainty=30.0)
journal = Journal.open(Path("run"), {settings!r}, kind=RECORDS)
evaluate(Segmenter(chat), read_dataset("jsonl", "val.jsonl"), journal=journal)
"""


def test_a_kill_loses_the_sample_in_flight_and_no_other(
    samples: list[Sample], tmp_path: Path
) -> None:
    lines = [
        {"image": f"images/{sample.image.name}", "expression": "the dog", "mask": None}
        for sample in samples
    ]
    (tmp_path / "val.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code = KILLED.format(root=str(ROOT), settings=SETTINGS)
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    _, done = read_journal(tmp_path / "run", RECORDS)
    assert [record.truth.image for record in done.values()] == [
        "images/a.png",
        "images/b.png",
        "images/c.png",
    ]


def test_another_run_in_the_folder_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, SETTINGS, kind=RECORDS)
    evaluate(Segmenter(model()), samples, journal=journal)
    with pytest.raises(InputError, match="another run, whose grid is '16x16'"):
        Journal.open(tmp_path, SETTINGS | {"grid": "32x32"}, kind=RECORDS)
    other = Sample(samples[0].image, (asked("the cow", None), *samples[0].targets[1:]))
    with pytest.raises(InputError, match="the data have changed"):
        evaluate(
            Segmenter(model()),
            [other, *samples[1:]],
            journal=Journal.open(tmp_path, SETTINGS, kind=RECORDS),
        )


def test_options_name_images_and_limit_targets(samples: list[Sample]) -> None:
    options = EvaluationOptions(root=samples[0].image.parent, limit=3, boundary=True)
    report = evaluate(Segmenter(model()), samples, options=options)
    assert [str(record.truth) for record in report.records] == [
        "'the dog' of a.png", "'the cat' of a.png", "'the dog' of b.png",
    ]  # fmt: skip
    assert report.records[0].boundary == 1.0
    assert report.run == {"grid": "16x16", "format": "sd"}


def test_the_lines_of_the_guide_run(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs" / "evaluation.md").read_text()
    lines = guide.split("```python\n")[1].split("```")[0]
    monkeypatch.setattr(models, "load", lambda name: model())
    monkeypatch.chdir(tmp_path)
    mask = mask_to_rle(block(0, 32))
    targets = [
        {"image": f"images/{sample.image.name}", "expression": expression, "mask": true}
        for sample in samples
        for expression, true in (("the dog", mask), ("the cat", None))
    ]
    for name in ("val.jsonl", "predictions.jsonl"):
        Path(name).write_text("".join(json.dumps(line) + "\n" for line in targets))
    found: dict[str, object] = {}
    exec(lines, found)
    assert found["report"].summaries["all"].giou == 1.0  # type: ignore[attr-defined]
    assert found["theirs"].summaries["all"].n_acc == 1.0  # type: ignore[attr-defined]
