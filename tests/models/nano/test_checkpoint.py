"""Weights on disk: what was trained and nothing else, and damage is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.reference.small_nano import (
    SmallParts,
    small_features,
    small_model,
    small_prompt,
    small_text,
)
from text4seg.core.errors import WeightsError
from text4seg.models.nano.checkpoint import CONFIG, HASH, WEIGHTS, load_model, save_model
from text4seg.models.nano.modeling import NanoForConditionalGeneration

EMBEDDING = "language.embed_tokens.weight"
MODEL = small_model(5)
PARTS = SmallParts(MODEL)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(MODEL, tmp_path / "new" / "weights")
    return tmp_path / "new" / "weights"


def load(folder: Path) -> NanoForConditionalGeneration:
    return load_model(folder, PARTS)  # type: ignore[arg-type]


def test_what_is_loaded_is_what_was_saved_in_half_precision(saved: Path) -> None:
    again = load(saved)
    assert again.config.to_json_string() == MODEL.config.to_json_string()
    before, after = MODEL.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].dtype == torch.float32
        assert torch.equal(after[name], value.bfloat16().float()), name


def test_the_embedding_comes_from_its_part_and_not_from_the_file(saved: Path) -> None:
    stored = load_file(saved / WEIGHTS)
    assert EMBEDDING not in stored
    assert stored.keys() == MODEL.state_dict().keys() - {EMBEDDING}
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}


def test_only_three_files_are_written_and_one_is_the_hash(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == sorted((CONFIG, WEIGHTS, HASH))
    digest = hashlib.sha256((saved / WEIGHTS).read_bytes()).hexdigest()
    assert (saved / HASH).read_text() == f"{digest}  {WEIGHTS}\n", "as sha256sum reads it"
    save_model(MODEL, saved)
    assert hashlib.sha256((saved / WEIGHTS).read_bytes()).hexdigest() == digest, "reproducible"


def test_what_save_pretrained_wrote_is_loaded_too(tmp_path: Path) -> None:
    tuned = small_model(5)
    with torch.no_grad():
        tuned.language.embed_tokens.weight.add_(1.0)
    tuned.save_pretrained(tmp_path)
    again = load(tmp_path).eval()
    again.set_cell_tracker(small_text().cell_tracker)
    assert torch.equal(again.language.embed_tokens.weight, tuned.language.embed_tokens.weight)
    prompt = torch.tensor([small_prompt()])
    with torch.inference_mode():
        assert torch.equal(
            again(prompt, features=small_features()).logits,
            tuned(prompt, features=small_features()).logits,
        )


def spoil(folder: Path, name: str, content: bytes | None, rehash: bool) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    if rehash:
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        (folder / HASH).write_text(f"{digest}  {WEIGHTS}\n")


def other_config(**changes: object) -> bytes:
    return json.dumps(json.loads(MODEL.config.to_json_string()) | changes).encode()


DAMAGE = [
    pytest.param(WEIGHTS, None, False, "cannot be read", id="no weights"),
    pytest.param(CONFIG, None, False, "cannot be read", id="no configuration"),
    pytest.param(CONFIG, b"{", False, "cannot be read", id="half a configuration"),
    pytest.param(CONFIG, b"\xff\xfe", False, "cannot be read", id="a configuration of bytes"),
    pytest.param(CONFIG, b"[1]", False, "of another model", id="a list for a configuration"),
    pytest.param(CONFIG, b"{}", False, "no language model", id="an empty configuration"),
    pytest.param(CONFIG, other_config(width=32), False, "another model", id="another width"),
    pytest.param(CONFIG, other_config(names=["a"]), False, "another model", id="other names"),
    pytest.param(CONFIG, other_config(width="x"), False, "another model", id="a word for a number"),
    pytest.param(
        CONFIG, other_config(language=[1]), False, "another model", id="a list for a language"
    ),
    pytest.param(WEIGHTS, b"short", False, "has the sha256", id="other weights than hashed"),
    pytest.param(WEIGHTS, b"short", True, "damaged or of another", id="weights that are none"),
    pytest.param(WEIGHTS, b"", True, "damaged or of another", id="empty weights"),
    pytest.param(HASH, b"", False, "sha256", id="an empty hash"),
]


@pytest.mark.parametrize(("name", "content", "rehash", "sentence"), DAMAGE)
def test_damage_is_named(
    saved: Path, name: str, content: bytes | None, rehash: bool, sentence: str
) -> None:
    spoil(saved, name, content, rehash)
    with pytest.raises(WeightsError, match=sentence) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_anywhere_is_damaged(saved: Path) -> None:
    data = (saved / WEIGHTS).read_bytes()
    for size in (7, 100, len(data) // 2, len(data) - 1):
        spoil(saved, WEIGHTS, data[:size], rehash=True)
        with pytest.raises(WeightsError):
            load(saved)


def test_a_folder_without_a_hash_is_loaded_unchecked(saved: Path) -> None:
    (saved / HASH).unlink()
    assert load(saved).config.names == MODEL.config.names
