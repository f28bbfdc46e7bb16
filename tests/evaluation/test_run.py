from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.conftest import asked, block, rectangle
from tests.fakes import FakeChat
from tests.fakes import block as grid_block
from text4seg.core.errors import InputError, OutputError
from text4seg.data import Sample
from text4seg.evaluation import Row, evaluate, summarise
from text4seg.evaluation.journal import Journal, read_run, write_run
from text4seg.evaluation.rows import merge
from text4seg.evaluation.run import Share, questions_of
from text4seg.segmenter import Segmenter

ROOT = Path(__file__).parents[2]
DOG = grid_block("the dog", slice(4, 8), slice(0, 8))
SETTINGS = {"model": "fake", "grid": "16x16"}


def model() -> FakeChat:
    return FakeChat({"the dog": DOG}, certainty=30.0)


def without_time(rows: list[Row]) -> list[dict]:
    """All that is the same each time; how far is drafted ahead depends on measured time."""
    timed = ("seconds", "passes")
    return [{k: v for k, v in row.to_json().items() if k not in timed} for row in rows]


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
    rows = evaluate(
        Segmenter(chat),
        questions_of([Sample(image, questions)]),
        on_row=lambda row: told.append(row.expression),
    )
    assert chat.opened == [(64, 64)], "an image is opened once"
    assert told == ["the dog", "the cat", "the cow", "the dog"]
    assert [row.cells.iou for row in rows if row.cells and row.present] == [0.5, 0.0]
    assert [row.pixels.iou for row in rows] == [0.5, 0.0, 1.0, 0.0]
    assert [row.cells.target for row in rows if row.cells] == [16, 1, 0, 0], (
        "one pixel still has a cell"
    )
    assert rows[0].text == Segmenter(model())(image, "the dog").text
    figures = summarise(rows)["val"]
    assert (figures.miss_rate, figures.n_acc, figures.strict) == (0.5, 0.5, 1.0)


def test_questions_are_numbered_and_images_named_from_a_root(samples: list[Sample]) -> None:
    found = list(questions_of(samples, root=samples[0].image.parent, limit=5))
    assert [(one.image, one.first, len(one.sample.targets)) for one in found] == [
        ("a.png", 0, 2),
        ("b.png", 2, 2),
        ("c.png", 4, 1),
    ]
    assert [truth.index for truth in found[1].truths()] == [2, 3]


def test_a_image_that_breaks_in_the_middle_is_named(samples: list[Sample]) -> None:
    image = samples[0].image
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(InputError, match=r"a\.png"):
        evaluate(Segmenter(model()), questions_of(samples))


def test_a_mask_of_another_size_is_named(samples: list[Sample]) -> None:
    wrong = Sample(samples[0].image, (asked("the dog", block(0)[:40]),))
    with pytest.raises(InputError, match="line 1: the mask is 40x64 and the image 64x64"):
        evaluate(Segmenter(model()), questions_of([wrong]))


def test_processes_share_the_images_and_are_put_together_exactly(
    samples: list[Sample], tmp_path: Path
) -> None:
    alone = evaluate(Segmenter(model()), questions_of(samples))
    for process in range(3):
        journal = Journal.open(tmp_path / "run", SETTINGS, process=process)
        share = Share(process, 3)
        evaluate(Segmenter(model()), questions_of(samples), journal=journal, share=share)
    settings, rows = read_run(tmp_path / "run")
    assert settings == SETTINGS
    assert without_time(rows) == without_time(alone)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        f"rows.{process}.jsonl" for process in range(3)
    ]


def test_a_run_goes_on_where_it_stopped(samples: list[Sample], tmp_path: Path) -> None:
    """After two samples, a third is half written by a process that was killed."""
    folder = tmp_path / "run"
    journal = Journal.open(folder, SETTINGS)
    evaluate(Segmenter(model()), list(questions_of(samples))[:2], journal=journal)
    half = (folder / "rows.0.jsonl").read_text().splitlines()[-1][:50]
    with (folder / "rows.0.jsonl").open("a") as file:
        file.write(half)
    chat = model()
    told: list[int] = []
    rows = evaluate(
        Segmenter(chat),
        questions_of(samples),
        journal=Journal.open(folder, SETTINGS),
        on_row=lambda row: told.append(row.index),
    )
    assert len(chat.opened) == 3, "two samples are there already"
    assert told == list(range(10))
    assert read_run(folder)[1] == rows
    assert without_time(rows) == without_time(evaluate(Segmenter(model()), questions_of(samples)))
    again = model()
    more = Journal.open(folder, SETTINGS, process=1)  # with other processes than before
    evaluate(Segmenter(again), questions_of(samples), journal=more, share=Share(1, 2))
    assert again.opened == []


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.fakes import FakeChat, block
from text4seg.data import read_dataset
from text4seg.evaluation import evaluate
from text4seg.evaluation.journal import Journal
from text4seg.evaluation.run import questions_of
from text4seg.segmenter import Segmenter

class Mortal(FakeChat):
    def open(self, image):
        if len(self.opened) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().open(image)

chat = Mortal({{"the dog": block("the dog", slice(4, 8), slice(0, 8))}}, certainty=30.0)
journal = Journal.open(Path("run"), {settings!r})
evaluate(Segmenter(chat), questions_of(read_dataset("jsonl", "val.jsonl")), journal=journal)
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
    _, rows = read_run(tmp_path / "run")
    assert [row.image for row in rows] == ["images/a.png", "images/b.png", "images/c.png"]


def test_another_run_in_the_folder_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    write_run(tmp_path, SETTINGS, evaluate(Segmenter(model()), questions_of(samples)))
    with pytest.raises(InputError, match="another run, whose grid is '16x16'"):
        Journal.open(tmp_path, SETTINGS | {"grid": "32x32"})
    other = Sample(samples[0].image, (asked("the cow", None), *samples[0].targets[1:]))
    with pytest.raises(InputError, match="the data have changed"):
        evaluate(
            Segmenter(model()),
            questions_of([other, *samples[1:]]),
            journal=Journal.open(tmp_path, SETTINGS),
        )


def test_damaged_runs_are_named(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of an evaluation"):
        read_run(tmp_path)
    write_run(tmp_path, SETTINGS, evaluate(Segmenter(model()), questions_of(samples)))
    path = tmp_path / "rows.0.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1], "{}", *lines[2:]]) + "\n")
    with pytest.raises(InputError, match=r"rows\.0\.jsonl, line 3"):
        read_run(tmp_path)
    path.write_text("[]\n")
    with pytest.raises(InputError, match="does not begin as"):
        read_run(tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot keep a run"):
        Journal.open(tmp_path / "file" / "run", SETTINGS)


def test_the_same_rows_twice_are_the_same_rows(samples: list[Sample]) -> None:
    rows = evaluate(Segmenter(model()), questions_of(samples))
    assert merge([rows, rows]) == rows
