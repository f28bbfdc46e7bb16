"""Answering is learned by its own module alone, and goes on where it was stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from projects.nano.feature_store import FeatureStore
from projects.nano.scenes import Scene
from projects.nano.stage3_vqa import VqaConfig, VqaLosses, train_vqa
from projects.nano.vqa_evidence import ImageEvidence, count_shards, iterate_evidence
from tests.projects.nano.test_vqa_questions import SCENE
from tests.reference.small_answers import answering_chat, boxed_features
from text4seg.models.nano.nano_model import NanoModel

SETTINGS = VqaConfig(
    images=6, steps=6, images_a_step=2, questions_a_image=4, guesses=16, named=4, save_every=3,
    log_every=3,
)  # fmt: skip


class Store(FeatureStore):
    """Noise for features."""

    def __init__(self) -> None:
        pass

    def __getitem__(self, image: Path) -> torch.Tensor:
        return boxed_features(len(image.name))


def looked(chat: NanoModel, folder: Path, images: int = 6) -> list[ImageEvidence]:
    scenes: list[Scene] = [replace(SCENE, image=Path("p" * n)) for n in range(1, 4)]
    return [
        one
        for shard in iterate_evidence(chat, lambda: scenes, Store(), folder, images)
        for one in shard
    ]


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    chat = answering_chat()
    first = looked(chat, tmp_path)
    (file,) = tmp_path.glob("found-*/*.pt")
    changed = file.stat().st_mtime_ns
    again = looked(chat, tmp_path)
    assert file.stat().st_mtime_ns == changed
    assert len(first) == len(again) == 6
    assert count_shards(6) == 1
    for one, other in zip(first, again, strict=True):
        assert (one.questions, one.answers) == (other.questions, other.answers)
        assert torch.equal(one.evidence.isnan(), other.evidence.isnan())
        assert len(one.evidence) == len(one.questions)
    with torch.no_grad():
        chat.model.fusion.place.add_(1.0)
    looked(chat, tmp_path)
    assert len(list(tmp_path.glob("found-*"))) == 2, "another fusion finds other things"


def test_only_its_own_weights_change(tmp_path: Path) -> None:
    chat = answering_chat()
    before = {k: v.clone() for k, v in chat.model.state_dict().items()}
    train_vqa(chat.model, chat.text, looked(chat, tmp_path), settings=SETTINGS, folder=tmp_path)
    changed = {k for k, v in chat.model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all(name.startswith("vqa_head.") for name in changed)
    lines = [json.loads(line) for line in (tmp_path / "vqa.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    assert {"loss", "guess", "names", "right"} <= lines[0].keys()


def test_a_stopped_lesson_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill comes in the fifth step, the checkpoint was written after the third."""
    ends = []
    write = VqaLosses.write
    for stopped in (False, True):
        folder = tmp_path / str(stopped)
        folder.mkdir()
        for killed in (True, False) if stopped else (False,):
            left = [5]

            def dying(
                lesson: VqaLosses, random: np.random.Generator, left: list[int] = left
            ) -> tuple[torch.Tensor, dict[str, list[bool]]]:
                left[0] -= 1
                if not left[0]:
                    raise KeyboardInterrupt
                return write(lesson, random)

            chat = answering_chat()
            reader = chat.model.vqa_head
            assert reader is not None
            assert isinstance(reader.read[2], torch.nn.Dropout)
            reader.read[2].p = 0.0
            found = looked(chat, folder)
            torch.manual_seed(0)
            with monkeypatch.context() as patch:
                if killed:
                    patch.setattr(VqaLosses, "write", dying)
                    with pytest.raises(KeyboardInterrupt):
                        train_vqa(chat.model, chat.text, found, settings=SETTINGS, folder=folder)
                else:
                    train_vqa(chat.model, chat.text, found, settings=SETTINGS, folder=folder)
        ends.append({k: v.clone() for k, v in chat.model.state_dict().items()})
    for name, value in ends[0].items():
        assert value.isfinite().all(), name
        assert torch.allclose(value, ends[1][name], atol=1e-5), name


def test_another_language_model_is_taught_anew(tmp_path: Path) -> None:
    for change in (0.0, 0.1):
        chat = answering_chat()
        with torch.no_grad():
            chat.model.language.norm.weight.add_(change)
        found = looked(chat, tmp_path)
        train_vqa(chat.model, chat.text, found, settings=SETTINGS, folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "vqa.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 3, 6]
