from __future__ import annotations

import pickle

import pytest

from text4seg.data import ReadReport, RecordError
from text4seg.data.reports import EXAMPLES


def filled() -> ReadReport:
    report = ReadReport(images=2, expressions=3)
    for number in range(EXAMPLES + 2):
        report.skip("bad record", f"line {number}")
    report.filter("another class", 4)
    report.mend("label cleaned", "line 1")
    return report


def test_all_faults_are_counted_and_the_first_messages_kept() -> None:
    report = filled()
    assert report.skipped == {"bad record": EXAMPLES + 2}
    assert report.messages["bad record"] == [f"line {number}" for number in range(EXAMPLES)]
    assert (report.filtered, report.mended) == ({"another class": 4}, {"label cleaned": 1})


def test_reports_add_up_and_survive_json() -> None:
    total = ReadReport.from_json(filled().to_json())
    assert total == filled()
    total.add(filled())
    assert (total.images, total.skipped["bad record"]) == (4, 2 * (EXAMPLES + 2))
    assert len(total.messages["bad record"]) == EXAMPLES


def test_the_first_fault_of_strict_reading_is_an_error_that_can_be_pickled() -> None:
    with pytest.raises(RecordError, match="line 1") as caught:
        ReadReport(strict=True).skip("bad record", "line 1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.kind, str(again)) == ("bad record", "line 1")
