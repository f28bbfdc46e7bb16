"""`text4seg export` prints the commands that serve what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from tests.reference.small_families import build
from tests.reference.small_nano import small_tokenizer
from text4seg.cli import main


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(build("qwen2_vl", tmp_path / "base", small_tokenizer()))
    capsys.readouterr()
    assert main(["export", model, "--out", str(tmp_path / "m"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(tmp_path / "m")
    assert "--mmproj" in told["commands"]["llama.cpp"]
    assert main(["export", model, "--out", str(tmp_path / "n")]) == 0
    out = capsys.readouterr()
    assert "sglang" in out.out
    assert "SGLang's is from its documentation" in out.err
    assert main(["export", model, "--out", str(tmp_path / "n")]) == 1
    assert "not empty" in capsys.readouterr().err
