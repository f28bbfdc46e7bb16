from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.conftest import make_record
from text4seg.cli._console import UsageError
from text4seg.cli._measuring import (
    check_places,
    image_opener,
    images_of,
    parse_options,
    print_table,
    processes,
)
from text4seg.core.errors import InputError
from text4seg.data import ReferringTarget, Sample
from text4seg.evaluation.journal import Share
from text4seg.evaluation.report import Table


def test_places_are_checked_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("")
    assert check_places(file, tmp_path, None) == file
    for data, out, predictions in ((None, None, None), (file, file, None), (file, None, tmp_path)):
        with pytest.raises(InputError):
            check_places(data, out, predictions)


def test_options_are_names_and_values() -> None:
    assert parse_options(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    assert parse_options(None) == {}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_options(["a"])


def test_images_lie_beside_the_data_set_unless_told(tmp_path: Path) -> None:
    assert images_of(tmp_path / "val.jsonl", None) == tmp_path
    assert images_of(tmp_path, None) == tmp_path
    assert images_of(tmp_path / "val.jsonl", Path("images")) == Path("images")


def test_one_process_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with processes(None) as share:
        assert share == Share(0, 1)


def test_the_image_of_a_record_is_opened(tmp_path: Path) -> None:
    Image.new("RGB", (7, 5)).save(tmp_path / "a.png")
    sample = Sample(tmp_path / "a.png", (ReferringTarget("the dog", None, "val", "line 1"),))
    found = image_opener([sample], tmp_path)(make_record(None, None, image="a.png"))
    assert found is not None
    assert found.size == (7, 5)


def test_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Table("Figures", ("", "val"), (("cIoU", ".500"),), "a note"))
    words = capsys.readouterr().out.split()
    assert words == ["Figures", "val", "cIoU", ".500", "a", "note"]
