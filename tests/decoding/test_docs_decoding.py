"""The Python of docs/decoding.md runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.reference.decoding import decode_one, mask_grammar
from tests.reference.toy import CacheOf, Noise, byte_vocabulary
from tests.segmenter.conftest import DOG, IMAGE, chat
from text4seg import models
from text4seg.core.types import GridShape
from text4seg.decoding import DRAFTERS, DecodingOptions, DraftContext

PAGE = (Path(__file__).parents[2] / "docs" / "decoding.md").read_text()


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the blocks define, run in order where their files are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "load", lambda name: chat())
    for name in ("image.jpg", "next_frame.jpg"):
        IMAGE.save(tmp_path / name)
    vocabulary = byte_vocabulary()
    step = CacheOf(Noise(vocabulary, 1))
    found: dict[str, Any] = {
        "vocabulary": vocabulary, "step": step, "first_logits": step.first_logits
    }  # fmt: skip
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "decoding.md", "exec"), found)
    return found


def test_the_blocks_run(names: dict[str, Any]) -> None:
    assert names["found"].grid == names["following"].grid == DOG
    assert len(names["samples"]) == 8
    assert names["share"].max() <= 1
    assert names["text"].count("\n") == 16


def test_the_drafter_of_the_page_changes_the_passes_only(names: dict[str, Any]) -> None:
    shape = GridShape(6, 8)
    grammar = mask_grammar("rrle", shape, ("dog",), names["vocabulary"])
    empty = b"others *8\n" + b" others *8\n" * 5
    noise = Noise(names["vocabulary"], 2, text=empty, favour=50.0)
    drafter = names["EmptyMask"](DraftContext(grammar.syntax, shape))
    plain, drafted = (
        decode_one(CacheOf(noise), grammar, draft=draft) for draft in ("forced", drafter)
    )
    assert plain.tokens == drafted.tokens
    assert drafted.stats.passes < plain.stats.passes


def test_the_tables_name_every_option_and_draft() -> None:
    listed = re.findall(r"^\| `(\w+)", PAGE, flags=re.MULTILINE)
    options = set(DecodingOptions.__dataclass_fields__)
    assert options | set(DRAFTERS) <= set(listed)
