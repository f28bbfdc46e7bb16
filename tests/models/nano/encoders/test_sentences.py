"""Sentence embeddings: vectors of phrases are remembered, but not without end."""

from __future__ import annotations

import pytest
import torch

from text4seg.models.nano.encoders import sentences
from text4seg.models.nano.encoders.parts import PretrainedParts


@pytest.mark.nano
def test_a_bounded_number_of_phrases_is_remembered(
    parts: PretrainedParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "_REMEMBERED", 3)
    embed, embedded = parts.sentences(), []
    computed = embed._embed
    monkeypatch.setattr(embed, "_embed", lambda new: [embedded.extend(new), computed(new)][1])
    first = embed(["cat", "dog"])
    embed(["cat", "cup", "cat"])
    embed(["bus"])  # the dog was asked for longest ago
    assert embedded == ["cat", "dog", "cup", "bus"]
    again = embed(["cat", "dog"])
    assert embedded == ["cat", "dog", "cup", "bus", "dog"]
    assert torch.allclose(again, first, atol=1e-5)


@pytest.mark.nano
def test_more_phrases_at_once_than_are_remembered(
    parts: PretrainedParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "_REMEMBERED", 1)
    vectors = parts.sentences()(["cat", "dog", "cat"])
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.allclose(vectors[0], vectors[1])
