"""The configuration keeps the keys of its file, whatever its attributes are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from text4seg.models.nano.config import FILE_KEYS, NanoConfig
from text4seg.models.nano.nano_model import SHIPPED


def test_the_shipped_file_is_read_and_written_with_its_own_keys(tmp_path: Path) -> None:
    stored = json.loads((SHIPPED / "config.json").read_text())
    config = NanoConfig.from_pretrained(SHIPPED)
    for key, attribute in FILE_KEYS.items():
        assert getattr(config, attribute) == stored[key], key
        assert not hasattr(config, key)
    config.save_pretrained(tmp_path)
    again = json.loads((tmp_path / "config.json").read_text())
    assert again.keys() - stored.keys() <= {"aliases"}, "the file is older than this attribute"
    version = {"transformers_version": ""}
    assert {key: again[key] for key in stored} | version == stored | version


def test_attributes_that_differ_come_back(tmp_path: Path) -> None:
    config = NanoConfig(vision_channels=96, position_threshold=0.25, attributes=True)
    config.save_pretrained(tmp_path)
    again = NanoConfig.from_pretrained(tmp_path)
    assert (again.vision_channels, again.position_threshold) == (96, 0.25)
    assert again.attributes


@pytest.mark.parametrize(
    ("kind", "threshold"), [("presence", 1.0), ("position", 2.0), ("look_alike", None)]
)
def test_each_kind_of_question_has_its_threshold(kind: str, threshold: float | None) -> None:
    config = NanoConfig(presence_threshold=1.0, position_threshold=2.0)
    assert config.threshold(kind) == threshold  # type: ignore[arg-type]
