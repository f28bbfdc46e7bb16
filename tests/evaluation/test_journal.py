from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluation.conftest import block, make_record
from text4seg.core.errors import InputError, OutputError
from text4seg.evaluation.journal import (
    IMAGES,
    RECORDS,
    Journal,
    Share,
    read_journal,
    write_records,
)

SETTINGS = {"model": "fake", "grid": "16x16"}
RECORD = [make_record(block(0), block(place), index=place) for place in range(4)]


def test_processes_are_put_together_in_order(tmp_path: Path) -> None:
    for process in (0, 1):
        share = Share(process, 2)
        journal = Journal.open(tmp_path, SETTINGS, kind=RECORDS, share=share)
        journal.append({at: RECORD[at] for at in range(4) if share.takes(at)})
    assert read_journal(tmp_path, RECORDS) == (SETTINGS, dict(enumerate(RECORD)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "records.0.jsonl", "records.1.jsonl",
    ]  # fmt: skip


def test_a_half_line_is_dropped(tmp_path: Path) -> None:
    Journal.open(tmp_path, SETTINGS, kind=IMAGES).append({0: {"cells": []}})
    path = tmp_path / "images.0.jsonl"
    path.write_text(path.read_text() + '{"image": 1, "resu')
    assert read_journal(tmp_path, IMAGES)[1] == {0: {"cells": []}}
    journal = Journal.open(tmp_path, SETTINGS, kind=IMAGES)
    journal.append({1: {"cells": [1]}})
    assert (
        read_journal(tmp_path, IMAGES)[1] == journal.done == {0: {"cells": []}, 1: {"cells": [1]}}
    )


def test_the_same_record_twice_is_one_and_another_one_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path, SETTINGS, [*RECORD, RECORD[0]])
    assert read_journal(tmp_path, RECORDS)[1] == dict(enumerate(RECORD))
    write_records(tmp_path, SETTINGS, [*RECORD, make_record(None, None, expression="the cat")])
    with pytest.raises(InputError, match=r"number 0 is 'the dog' of .* and 'the cat' of .* in"):
        read_journal(tmp_path, RECORDS)


def test_damaged_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of an evaluation"):
        read_journal(tmp_path, RECORDS)
    write_records(tmp_path, SETTINGS, RECORD)
    path = tmp_path / "records.0.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1], "{}", *lines[2:]]) + "\n")
    with pytest.raises(InputError, match=r"records\.0\.jsonl, line 3"):
        read_journal(tmp_path, RECORDS)
    path.write_text("[]\n")
    with pytest.raises(InputError, match="does not begin as"):
        read_journal(tmp_path, RECORDS)


def test_another_run_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path, SETTINGS, RECORD)
    assert json.loads((tmp_path / "records.0.jsonl").read_text().splitlines()[0])["settings"]
    with pytest.raises(InputError, match="another run, whose grid is '16x16'"):
        Journal.open(tmp_path, SETTINGS | {"grid": "32x32"}, kind=RECORDS)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot keep a run"):
        Journal.open(tmp_path / "file" / "run", SETTINGS, kind=RECORDS)
