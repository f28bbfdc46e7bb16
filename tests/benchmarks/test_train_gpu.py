"""The benchmark of a GPU: it runs through on a toy, and counts what it says it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("trl")

import transformers

from benchmarks import train_gpu
from tests.reference.small_families import Size, numbered
from tests.reference.small_nano import small_tokenizer

CARDS = {
    "NVIDIA H100 80GB HBM3": 989.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA A10": 125.0,
    "NVIDIA GeForce RTX 4090": 165.0,
}


def test_a_toy_runs_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    words = ["--tiny", "--steps", "4", "--batch", "2", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["train_gpu", *words])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    train_gpu.main()
    assert "utilization are left out" in capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report["utilization"] is None
    assert report["batch"] == 2
    assert report["samples_a_second"] == pytest.approx(2 / report["seconds_a_step"])
    assert report["planned"]["bytes"] > 0


@pytest.mark.parametrize("card", CARDS)
def test_a_card_is_known_by_its_name(card: str) -> None:
    assert train_gpu.find_peak(card) == CARDS[card]


def test_a_card_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(ValueError, match="--peak-tflops"):
        train_gpu.find_peak("NVIDIA A1000")


def test_the_architecture_is_that_of_three_billion_parameters(tmp_path: Path) -> None:
    _, ids = numbered(train_gpu.FAMILY, small_tokenizer())
    config = train_gpu.make_config(Size(patch=14, patches=32), ids, tiny=False)
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == 3_754_622_976
    config.save_pretrained(tmp_path)
    # One token without an answer: the language layers, forward and back to the token before.
    layers = 36 * (2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 11008)
    found = train_gpu.count(tmp_path, 0, [(1, 0, 0)])
    assert found.lesson == 4 * layers
    assert found.all == 6 * layers
    # An answer's token: the output layer, too. Four patches: the encoder, and the projector once.
    assert train_gpu.count(tmp_path, 0, [(1, 1, 0)]).lesson == 4 * (layers + 2048 * 151936)
    projector = 5120 * 5120 + 5120 * 2048
    encoder = 3 * 2 * 14 * 14 * 1280 + 32 * (4 * 1280 * 1280 + 3 * 1280 * 3420)
    assert train_gpu.count(tmp_path, 0, [(0, 0, 4)]).lesson == 8 * encoder + 4 * projector
